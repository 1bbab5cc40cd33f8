"""Our cosine schedule is timm's, to the bit."""

from __future__ import annotations

import pytest
import torch
from timm.scheduler import create_scheduler_v2
from torch import nn

from zoo.config.run_config import TrainConfig
from zoo.training.optimizers import build_optimizer, build_schedule


@pytest.mark.parametrize(("epochs", "per_epoch"), [(1, 1), (3, 7), (20, 938)])
@pytest.mark.parametrize("lr", [0.001, 0.1, 3.0])
def test_the_cosine_without_options_is_timms(epochs, per_epoch, lr) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    config = TrainConfig(lr=lr, epochs=epochs, schedule="cosine")
    ours, theirs = (build_optimizer(model, config, {"0.weight": 0.25}) for _ in range(2))
    schedule = build_schedule(ours, config, per_epoch)
    scheduler, _ = create_scheduler_v2(
        theirs, sched="cosine", num_epochs=epochs, step_on_epochs=False, updates_per_epoch=per_epoch
    )
    assert schedule is not None and len(ours.param_groups) == 2
    for step in range(epochs * per_epoch + 2):
        schedule(step)
        scheduler.step_update(step)
        for one, other in zip(ours.param_groups, theirs.param_groups, strict=True):
            assert (one["lr"], one["initial_lr"]) == (other["lr"], other["initial_lr"])


def test_a_restored_optimizer_goes_on_along_the_same_cosine() -> None:
    config = TrainConfig(lr=0.1, epochs=2, schedule="cosine")
    parameter = nn.Parameter(torch.zeros(1))
    model = nn.ParameterList([parameter])
    first = build_optimizer(model, config)
    schedule = build_schedule(first, config, 10)
    assert schedule is not None
    schedule(7)
    again = build_optimizer(model, config)
    later = build_schedule(again, config, 10)
    assert later is not None
    again.load_state_dict(first.state_dict())
    later(8)
    schedule(8)
    assert again.param_groups[0]["lr"] == first.param_groups[0]["lr"]
