"""An optimizer's state follows its parameters by name."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from zoo.errors import CheckpointError
from zoo.optimizer_state import optimizer_state, restore_optimizer


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def trained(model, **options):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, **options)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(2, 4)).square().sum().backward()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("options", [{}, {"fused": True}, {"amsgrad": True}])
def test_optimizer_state_is_restored_by_parameter_name_whatever_their_order(model, options):
    optimizer = trained(model, **options)
    tensors, groups = optimizer_state(optimizer, model)
    json.dumps(groups)
    fresh = torch.optim.Adam(reversed(list(model.parameters())), lr=0.5, **options)
    restore_optimizer(fresh, model, tensors, groups)
    assert fresh.param_groups[0]["lr"] == 0.1
    assert fresh.param_groups[0]["betas"] == optimizer.param_groups[0]["betas"]
    for parameter in model.parameters():
        for slot, value in optimizer.state[parameter].items():
            assert torch.equal(fresh.state[parameter][slot], value), slot


def test_optimizer_state_of_other_parameters_is_refused(model):
    tensors, groups = optimizer_state(trained(model), model)
    other = nn.Linear(4, 3)
    with pytest.raises(CheckpointError, match="other parameters"):
        restore_optimizer(torch.optim.Adam(other.parameters()), other, tensors, groups)
