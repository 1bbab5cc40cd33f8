"""Recorded training steps give what plain steps give.

The recorder here works on the CPU, and has the properties of a CUDA graph (`tests/test_gpu.py` has the real one). What
is recorded are torch's operations with the tensors that they read and write, and nothing else: numbers that the host
computed and branches that it took are repeated as they were. Recording changes no tensor. A value that is read back to
the host is an error.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo.api import Batch
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import create
from zoo.training import step_graph, trainer
from zoo.training.losses import PieceLoss
from zoo.training.preparation import prepare
from zoo.training.step_graph import WARM_UP, StepGraph, relative_difference
from zoo.training.train_state import TrainState

READING = {"_local_scalar_dense", "nonzero", "_unique2", "masked_select"}


class Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self._written: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function.overloadpacket.__name__ in READING:
            raise RuntimeError(f"{function.overloadpacket.__name__} is not permitted while a step is recorded")
        for given, argument in zip([*args, *kwargs.values()], function._schema.arguments, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in tree_leaves(given):
                    self._written.setdefault(id(tensor), (tensor, tensor.detach().clone()))
        found = function(*args, **kwargs)
        self.calls.append((function, args, kwargs, found))
        return found

    @torch.no_grad()
    def undo(self) -> None:
        for tensor, before in self._written.values():
            tensor.copy_(before)

    @torch.no_grad()
    def repeat(self) -> None:
        for function, args, kwargs, recorded in self.calls:
            found = function(*args, **kwargs)
            fresh = all(each.alias_info is None for each in function._schema.returns)
            if fresh:
                for mine, new in zip(tree_leaves(recorded), tree_leaves(found), strict=True):
                    if isinstance(mine, Tensor):
                        mine.copy_(new)


class OnTheCpu:
    """A `zoo.training.step_graph.Recorder`; ``made`` has all of them."""

    made: ClassVar[list[OnTheCpu]] = []

    def __init__(self, _device: torch.device) -> None:
        self.launches = 0
        OnTheCpu.made.append(self)

    def warming_up(self) -> AbstractContextManager[object]:
        return nullcontext()

    def record(self, step: Callable[[], PieceLoss]) -> tuple[PieceLoss, Callable[[], None]]:
        operations = Operations()
        with operations:
            found = step()
        operations.undo()

        def launch() -> None:
            self.launches += 1
            operations.repeat()

        return PieceLoss(found.mean.detach(), found.weight), launch


FAST = {"epochs": 2, "batch_size": 200, "log_steps": 5, "schedule": "constant", "augment": []}


class Told(Console):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def print(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(autouse=True)
def recorders(monkeypatch: pytest.MonkeyPatch) -> list[OnTheCpu]:
    monkeypatch.setitem(step_graph.RECORDERS, "cpu", OnTheCpu)
    monkeypatch.setattr(OnTheCpu, "made", [])
    return OnTheCpu.made


def state_of(folder: Path, recipe: str = "cnn_digits", watch: Console | None = None, **train: Any) -> TrainState:
    overrides = {"device": "cpu", "train": {**FAST, "cuda_graph": True, **train}, "dataset": {"resize": 16}}
    plan = resolve(registry(), recipe, overrides=overrides)
    ready = prepare(plan)
    assert ready.learning is not None
    run = create(plan.config, folder)
    return TrainState(
        plan.config, ready.learning, ready.model, ready.data, ready.engine, run, watch or Console(quiet=True)
    )


def trained(state: TrainState) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    trainer.fit(state)
    rows = [{key: row[key] for key in ("train_loss", "lr")} for row in state.run.epochs()]
    return {name: value.clone() for name, value in state.result.state_dict().items()}, rows


class WithDropout(nn.Module):
    """Batch norm and dropout before the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.before, self.network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.2)), network

    def forward(self, inputs: Tensor) -> Any:
        return self.network(self.before(inputs))


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"optimizer": "sgd", "momentum": 0.9},
    "adamw and a schedule": {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine", "warmup_epochs": 0.5},
    "moving average": {"ema_decay": 0.9},
    "clipped, in micro-batches": {"clip_norm": 0.1, "micro_batches": 3},
    "augmented": {"augment": ["crop"]},
    "a last batch of another size": {"batch_size": 190},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_recorded_steps_are_plain_steps(tmp_path: Path, monkeypatch, recorders, name: str) -> None:
    watch = Told()
    recorded = trained(state_of(tmp_path / "recorded", watch=watch, **OPTIONS[name]))
    (recorder,) = recorders
    assert recorder.launches > 5
    assert "with the same result" in "\n".join(watch.lines)
    monkeypatch.setattr(step_graph, "WARM_UP", 10**9)
    plain = trained(state_of(tmp_path / "plain", **OPTIONS[name]))
    assert recorders[1].launches == 0
    assert recorded[1] == plain[1]
    assert all(torch.equal(value, plain[0][key]) for key, value in recorded[0].items())
    monkeypatch.undo()
    ordinary = trained(state_of(tmp_path / "ordinary", **OPTIONS[name], cuda_graph=False))
    for key, value in recorded[0].items():  # its learning rates have another precision
        torch.testing.assert_close(value, ordinary[0][key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("recipe", ["lenet_digit_sets", "lenet_digits_rotated", "digits_retrieval"])
def test_other_tasks_are_recorded(tmp_path: Path, monkeypatch, recorders, recipe: str) -> None:
    recorded = trained(state_of(tmp_path / "recorded", recipe, epochs=1, batch_size=100))
    assert recorders[0].launches > 2
    monkeypatch.setattr(step_graph, "WARM_UP", 10**9)
    plain = trained(state_of(tmp_path / "plain", recipe, epochs=1, batch_size=100))
    assert recorded[1] == plain[1]
    assert all(torch.equal(value, plain[0][key]) for key, value in recorded[0].items())


def test_a_stopped_training_resumes_to_the_bit(tmp_path: Path) -> None:
    from zoo.training.resume import resume

    options = {"optimizer": "adamw", "schedule": "cosine", "ema_decay": 0.9, "checkpoint_steps": 6, "epochs": 2}
    whole, _ = trained(state_of(tmp_path / "whole", **options))
    cut = state_of(tmp_path / "cut", **options)
    steps = iter(range(10**6))

    def stopping(state: TrainState, _stop: object) -> None:
        if next(steps) == 6:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "stop_if_asked", stopping)
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(cut)
    again = state_of(tmp_path / "again", **options)
    again.run = cut.run
    resume(again)
    assert again.progress.step == 6
    resumed, _ = trained(again)
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        ({"mixup": 0.2}, "train.mixup and train.cutmix are drawn on the host"),
        ({"profile": True}, "train.profile measures"),
        ({"optimizer": "rprop"}, "Rprop computes a part of its update on the host"),
    ],
)
def test_what_cannot_be_recorded_is_said(tmp_path: Path, recorders, train, reason) -> None:
    watch = Told()
    state = state_of(tmp_path / "run", watch=watch, **train)
    assert state.graph is None and not recorders
    assert any(line.startswith("note: no CUDA graph: ") and reason in line for line in watch.lines)


def test_without_a_recorder_for_the_device_it_is_said(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delitem(step_graph.RECORDERS, "cpu")
    watch = Told()
    assert state_of(tmp_path / "run", watch=watch).graph is None
    assert watch.lines[-1] == "note: no CUDA graph: the device is cpu"


# ------------------------------------------------------------------------------------- steps that cannot be repeated


class Training:
    """A network of one weight, trained by plain gradient descent; ``disturb`` is called in each step."""

    def __init__(self, disturb: Any = lambda _inputs: 0.0) -> None:
        self.weight = torch.zeros(2, requires_grad=True)
        self.disturb, self.lines = disturb, list[str]()
        self.graph = StepGraph(OnTheCpu(torch.device("cpu")), 4, lambda: [self.weight.detach()], self.clear, self.say)
        self.graph.begin_epoch(nn.Linear(1, 1))

    def say(self, text: str) -> None:
        self.lines.append(text)

    def clear(self) -> None:
        self.weight.grad = None

    def step(self, batch: Batch) -> PieceLoss:
        loss = (batch.inputs @ self.weight - 1 + self.disturb(batch.inputs)).square().mean()
        loss.backward()
        with torch.no_grad():
            self.weight -= 0.1 * self.weight.grad
        self.weight.grad = None
        return PieceLoss(loss.detach(), 4.0)

    def train(self, steps: int = 10) -> list[float]:
        draw = torch.Generator().manual_seed(0)
        batches = [torch.randn(4, 2, generator=draw) for _ in range(steps)]
        return [float(self.graph.take(Batch(each, None, torch.arange(4)), self.step).mean) for each in batches]


def plain_losses(disturb: Any = lambda _inputs: 0.0) -> list[float]:
    training = Training(disturb)
    training.graph.take = lambda batch, step: step(batch)  # type: ignore[method-assign]
    return training.train()


def test_a_step_that_reads_a_value_back_is_taken_plainly() -> None:
    reads = lambda inputs: 0.0 if float(inputs.sum()) > 0 else 0.1  # noqa: E731
    training = Training(reads)
    assert training.train() == plain_losses(reads)
    assert len(training.lines) == 1 and "_local_scalar_dense is not permitted" in training.lines[0]


@pytest.mark.parametrize("draw", [random.random, lambda: float(torch.rand(()).numpy())], ids=["python", "torch"])
def test_a_step_that_draws_on_the_host_is_taken_plainly(draw) -> None:
    def draws(_inputs: Tensor) -> float:
        return float(draw())

    random.seed(0)
    torch.manual_seed(0)
    training = Training(draws)
    found = training.train()
    random.seed(0)
    torch.manual_seed(0)
    assert found == plain_losses(draws)
    assert training.lines == ["note: no CUDA graph: the step draws random numbers on the host"]


def test_a_step_that_counts_on_the_host_is_taken_plainly() -> None:
    counts = []

    def counting(_inputs: Tensor) -> float:
        counts.append(1)
        return float(len(counts) ** 3)

    training = Training(counting)
    training.train()
    (line,) = training.lines
    assert line.startswith("note: no CUDA graph: the recorded step differs from the plain one by")


def test_a_sound_step_is_recorded_once_and_launched(recorders) -> None:
    training = Training()
    assert training.train() == plain_losses()
    assert recorders[0].launches == 10 - WARM_UP  # the one that is compared, and six more
    assert len(training.lines) == 1 and "with the same result" in training.lines[0]


def test_an_epoch_that_trains_other_parameters_is_recorded_anew(recorders) -> None:
    training, network = Training(), nn.Linear(1, 1)
    training.graph.begin_epoch(network)
    training.train()
    training.graph.begin_epoch(network)
    training.train(2)
    assert recorders[0].launches == 10 - WARM_UP + 2
    network.bias.requires_grad_(False)
    training.graph.begin_epoch(network)
    training.train(WARM_UP)
    assert recorders[0].launches == 10 - WARM_UP + 2
    training.train(2)
    assert len(training.lines) == 2


@pytest.mark.parametrize(
    ("found", "expected", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.5], [1.0, 2.0], 0.5 / 5**0.5),
        ([float("nan"), 2.0], [1.0, 2.0], float("inf")),
        ([1.0, 0.0], [0.0, 0.0], float("inf")),
    ],
)
def test_differences_are_relative_to_the_change(found, expected, difference) -> None:
    start = torch.zeros(2)
    assert relative_difference([start], [torch.tensor(found)], [torch.tensor(expected)]) == pytest.approx(difference)
    counts = torch.tensor([1]), torch.tensor([2])
    assert relative_difference([counts[0]], [counts[0]], [counts[1]]) == float("inf")
