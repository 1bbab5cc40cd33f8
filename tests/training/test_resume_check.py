"""The probe before a run's first step: what resumes to the bit is let through, and what does not is refused with the
reason."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from zoo.config.run_config import TrainConfig
from zoo.errors import UsageError
from zoo.reporting.console import Console
from zoo.training import optimizers
from zoo.training.devices import Engine
from zoo.training.resume_check import check_exact

ENGINES = {
    "fp32": Engine(torch.device("cpu"), None, torch.contiguous_format),
    "bf16": Engine(torch.device("cpu"), torch.bfloat16, torch.channels_last),
    "fp16": Engine(torch.device("cpu"), torch.float16, torch.contiguous_format),
}


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 2))


SAMPLE = [
    "adam",
    "sgd",
    "radam",
    "adamp",
    "mars",
    "nadamlegacy",
    "laprop",
    "adafactorbv",
    "lookahead_adamw",
    "lookahead_radam",
    "adamuon",
]
"""Of each kind of state: Python counters, several buffers, None, slow weights beside the state, parameters treated by
their shape."""


@pytest.mark.parametrize("precision", ENGINES)
@pytest.mark.parametrize("name", SAMPLE)
def test_an_optimizer_whose_state_is_all_kept_is_let_through(model: nn.Module, name: str, precision: str) -> None:
    check_exact(
        TrainConfig(
            optimizer=name, schedule="cosine", epochs=2, ema_decay=0.9, clip_norm=1.0, weight_decay_scope="weights"
        ),
        model,
        ENGINES[precision],
        20,
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sparseadam", "fails: SparseAdam does not support dense gradients"),
        ("adahessian", "fails: element 0 of tensors does not require grad"),
        ("muon", "does not accept its options: Muon only supports 2D parameters"),
        ("fusedlamb", "APEX"),
    ],
)
def test_an_optimizer_that_cannot_train_this_is_refused_with_its_reason(
    model: nn.Module, name: str, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        check_exact(TrainConfig(optimizer=name), model, ENGINES["fp32"], 20)
    assert "\n" not in str(caught.value)
    assert f"train.optimizer={name}" in str(caught.value)


def test_only_dimensions_that_the_network_has_are_tried() -> None:
    check_exact(TrainConfig(optimizer="muon", lr=0.01), nn.Linear(3, 3, bias=False), ENGINES["fp32"], 20)


class Forgetful(torch.optim.SGD):
    """Counts its steps where no checkpoint looks, and steps less each time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.taken = 0

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.taken += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.sub_(parameter.grad, alpha=group["lr"] / self.taken)


class Gambler(torch.optim.SGD):
    """Draws from Python's generator, whose state is in no checkpoint."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.sub_(parameter.grad, alpha=random.random())


class Rounding(torch.optim.SGD):
    """Its state loses bits on the way into a checkpoint, though the next steps may not show it."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step(closure)
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["unused"] = self.state[parameter].get("unused", parameter.detach().clone()) + 1e-7

    def state_dict(self) -> dict[str, Any]:
        content = super().state_dict()
        state = {
            key: {name: None if each is None else each.bfloat16().float() for name, each in slot.items()}
            for key, slot in content["state"].items()
        }
        return {**content, "state": state}


@pytest.mark.parametrize(("optimizer", "what"), [(Forgetful, "weight"), (Gambler, "weight"), (Rounding, "unused")])
def test_an_optimizer_whose_state_is_not_all_kept_is_refused(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch, optimizer: type[torch.optim.Optimizer], what: str
) -> None:
    monkeypatch.setitem(optimizers.TORCH, "odd", optimizer)
    with pytest.raises(UsageError, match=f"could not be resumed exactly: its .*{what}.* differs"):
        check_exact(TrainConfig(optimizer="odd", lr=0.1), model, ENGINES["fp32"], 20)


def test_a_run_with_such_an_optimizer_writes_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(optimizers.TORCH, "odd", Gambler)
    overrides = {"train": {"optimizer": "odd"}, "dataset": {"resize": 16}, "device": "cpu"}
    with pytest.raises(UsageError, match="could not be resumed exactly"):
        zoo.run("cnn_digits", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    assert not (tmp_path / "run").exists()


def test_the_probe_leaves_random_generators_as_they_were(model: nn.Module) -> None:
    before = torch.get_rng_state(), random.getstate()
    check_exact(TrainConfig(optimizer="adam"), model, ENGINES["fp32"], 20)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
