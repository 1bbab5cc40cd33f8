"""An optimizer's state follows its parameters by name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from zoo.errors import CheckpointError, UsageError
from zoo.training.optimizer_state import optimizer_state, restore_optimizer


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def trained(model: nn.Module, **options: Any) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, **options)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(2, 4)).square().sum().backward()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("options", [{}, {"fused": True}, {"amsgrad": True}])
def test_optimizer_state_is_restored_by_parameter_name_whatever_their_order(
    model: nn.Module, options: dict[str, bool]
) -> None:
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


def test_optimizer_state_of_other_parameters_is_refused(model: nn.Module) -> None:
    tensors, groups = optimizer_state(trained(model), model)
    other = nn.Linear(4, 3)
    with pytest.raises(CheckpointError, match="other parameters"):
        restore_optimizer(torch.optim.Adam(other.parameters()), other, tensors, groups)


class Keeper(torch.optim.SGD):
    """Keeps whatever it is given: in its state, by a parameter, by a string and by None, and beside its state.

    (Of the first, torch's own ``load_state_dict`` loses the type of strings; the probe of `zoo.training.resume_check`
    refuses an optimizer that has any.)
    """

    kept: Any = None
    beside: Any = None

    def keep(self, value: Any, beside: Any = None) -> None:
        parameter = self.param_groups[0]["params"][0]
        self.state[parameter] = {"kept": value}
        self.state["shared"], self.state[None] = value, value  # type: ignore[index]
        self.beside = beside

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "beside": self.beside}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.beside = state_dict.pop("beside")
        super().load_state_dict(state_dict)


def came_back(model: nn.Module, value: Any) -> Keeper:
    before, after = Keeper(model.parameters(), lr=0.1), Keeper(model.parameters(), lr=0.1)
    before.keep(value, (1, value))
    tensors, saved = optimizer_state(before, model)
    restore_optimizer(after, model, tensors, json.loads(json.dumps(saved)))
    return after


@pytest.mark.parametrize(
    "value",
    [
        3,
        True,
        None,
        0.1,
        float("inf"),
        (1, 2.5),
        [1, [2, (True, None)]],
        {"a": {2: (3,)}, None: []},
        torch.float16,
        np.float32(0.1),
    ],
    ids=repr,
)
def test_types_and_nesting_stay(model: nn.Module, value: Any) -> None:
    after = came_back(model, value)
    for found in (after.state[model[0].weight]["kept"], after.state["shared"], after.state[None], after.beside[1]):  # type: ignore[index]
        assert found == value
        assert type(found) is type(value)


def test_tensors_stay_in_their_lists_with_dtype_and_order_in_memory(model: nn.Module) -> None:
    turned = torch.arange(24, dtype=torch.bfloat16).reshape(2, 3, 4).permute(2, 0, 1)
    counter = torch.tensor(7)
    found = came_back(model, [turned, (counter, {"empty": torch.zeros(0, dtype=torch.uint8)})]).beside[1]
    assert torch.equal(found[0], turned)
    assert (found[0].dtype, found[0].stride()) == (turned.dtype, turned.stride())
    assert found[1][0].shape == ()
    assert found[1][0].dtype == torch.int64
    assert found[1][1]["empty"].dtype == torch.uint8


def test_a_tensor_that_is_kept_twice_is_one_tensor_again(model: nn.Module) -> None:
    one = torch.ones(2)
    found = came_back(model, [one, one, one.clone()]).beside[1]
    assert found[0] is found[1]
    assert found[0] is not found[2]


def test_what_a_checkpoint_cannot_hold_is_refused_by_name(model: nn.Module) -> None:
    optimizer = Keeper(model.parameters(), lr=0.1)
    optimizer.keep([torch.eye(3).to_sparse()])
    with pytest.raises(UsageError, match=r"has a Tensor \(0\.weight/kept/0\), which a checkpoint cannot store"):
        optimizer_state(optimizer, model)
    optimizer.keep(object())
    with pytest.raises(UsageError, match=r"has a object"):
        optimizer_state(optimizer, model)
