"""A step of training: clipping under fp16's scaled loss, the average that follows the optimizer, and all of its
state."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.config.run_config import TrainConfig
from zoo.training.devices import Engine
from zoo.training.optimizer_step import Stepper

FP16 = Engine(torch.device("cpu"), torch.float16, torch.contiguous_format)
FP32 = Engine(torch.device("cpu"), None, torch.contiguous_format)


def made(engine: Engine, seed: int = 0, **train: Any) -> Stepper:
    torch.manual_seed(seed)
    return Stepper(nn.Linear(3, 2), TrainConfig(**{"optimizer": "sgd", "lr": 0.5, **train}), engine, steps_per_epoch=10)


def loss_of(stepper: Stepper, factor: float = 1.0) -> Tensor:
    return factor * stepper.model(torch.ones(4, 3)).square().sum()


@pytest.mark.parametrize("engine", [FP32, FP16], ids=["fp32", "fp16"])
@pytest.mark.parametrize("factor", [1.0, 1e-4], ids=["above the norm", "below the norm"])
def test_gradients_are_clipped_as_they_are_and_not_as_they_are_scaled(engine: Engine, factor: float) -> None:
    """Independent: the gradient by autograd, clipped by hand."""
    stepper = made(engine, clip_norm=0.25)
    before = nn.utils.parameters_to_vector(stepper.model.parameters()).detach().clone()
    gradients = torch.autograd.grad(loss_of(stepper, factor), list(stepper.model.parameters()))
    gradient = torch.cat([each.flatten() for each in gradients])
    assert (gradient.norm() > 0.25) == (factor == 1.0)
    expected = before - 0.5 * gradient * min(1.0, 0.25 / float(gradient.norm()))
    stepper.backward(loss_of(stepper, factor))
    stepper.update()
    torch.testing.assert_close(nn.utils.parameters_to_vector(stepper.model.parameters()).detach(), expected)


def test_a_step_whose_gradients_overflow_moves_neither_weights_nor_average_and_halves_the_scale() -> None:
    stepper = made(FP16, ema_decay=0.9)
    scale, before = stepper.scaler.get_scale(), stepper.model.weight.detach().clone()
    stepper.backward(loss_of(stepper, float("inf")))
    stepper.update()
    assert torch.equal(stepper.model.weight, before)
    assert stepper.scaler.get_scale() == scale / 2
    assert stepper.state()[1]["averaged"] == 0


def test_everything_that_steps_change_is_restored() -> None:
    """The scale after an overflow, the steps since then, the count of the average, momentum, rates."""
    stepper = made(FP16, ema_decay=0.9, momentum=0.9, schedule="cosine", clip_norm=1.0)
    for step, factor in enumerate((1.0, float("inf"), 1.0, 1.0)):
        stepper.set_rates(step)
        stepper.backward(loss_of(stepper, factor))
        stepper.update()
    tensors, state = stepper.state()
    weights = {name: value.clone() for name, value in stepper.result.state_dict().items()}
    other = made(FP16, seed=1, ema_decay=0.9, momentum=0.9, schedule="cosine", clip_norm=1.0)
    other.restore(
        weights, {name: value.clone() for name, value in tensors.items()}, json.loads(json.dumps(state)), "memory"
    )
    assert other.scaler.state_dict() == stepper.scaler.state_dict()
    assert other.scaler.state_dict()["scale"] == 2.0**15
    assert other.scaler.state_dict()["_growth_tracker"] == 2
    assert other.state()[1] == state
    assert state["averaged"] == 3
    for each in (stepper, other):
        each.set_rates(4)
        each.backward(loss_of(each))
        each.update()
    assert torch.equal(other.model.weight, stepper.model.weight)
    assert torch.equal(other.result.weight, stepper.result.weight)
