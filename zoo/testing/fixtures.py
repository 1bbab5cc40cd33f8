"""Small seeded datasets, networks and a task for the checks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.api import (
    MAIN_OUTPUT,
    Batch,
    Classes,
    Decision,
    EvaluationResult,
    Evaluator,
    Loss,
    Mask,
    Monitor,
    MultiLabel,
    NoTarget,
    Opaque,
    Options,
    OutputKind,
    Outputs,
    Raw,
    Split,
    Target,
    TargetKind,
    Task,
    Values,
    target_names,
)
from zoo.data.data_loader import Data
from zoo.data.loaded_part import LoadedPart
from zoo.data.preprocessing import Preprocessing
from zoo.training.devices import Engine

SHAPE, NAMES, SAMPLES = (1, 8, 8), ("round", "square", "other"), 12
ENGINE = Engine(torch.device("cpu"), None, torch.contiguous_format)
OTHER_SEED = 20_011


def dummy_target(kind: TargetKind) -> Target:
    match kind:
        case "classes":
            return Classes(names=NAMES)
        case "multi_label":
            return MultiLabel(names=NAMES)
        case "values":
            return Values(names=NAMES, units=("mm", "°", ""))
        case "mask":
            return Mask(names=NAMES)
        case "opaque":
            return Opaque(dtype="float32", shape=SHAPE[1:])
        case _:
            return NoTarget()


def dummy_targets(target: Target, count: int, generator: np.random.RandomState) -> np.ndarray | None:
    """Return ``count`` targets in which every class and value occurs."""
    width = len(target_names(target))
    match target:
        case Classes():
            return np.arange(count) % width
        case MultiLabel():
            return generator.randint(0, 2, (count, width)).astype(np.uint8)
        case Values():
            return generator.normal(3, 2, (count, width)).astype(np.float32)
        case Mask():
            return generator.randint(0, width, (count, *SHAPE[1:])).astype(np.uint8)
        case Opaque():
            return generator.normal(0, 1, (count, *SHAPE[1:])).astype(target.dtype)
        case _:
            return None


def dummy_data(target: Target, tested: int = SAMPLES) -> Data:
    """Return data with disjoint train, validation and test splits; the test split has ``tested`` samples."""
    generator = np.random.RandomState(0)
    preprocessing = Preprocessing(channels=1, height=SHAPE[1], width=SHAPE[2], mean=(0.5,), std=(0.25,))
    parts: dict[Any, Any] = {}
    for part in ("train", "val", "test"):
        count = tested if part == "test" else SAMPLES
        images = generator.randint(0, 256, (count, *SHAPE)).astype(np.uint8)
        split = Split(images, dummy_targets(target, count, generator))
        parts[part] = LoadedPart(split, preprocessing, torch.device("cpu"))
    return Data("testing/noise", target, parts, preprocessing, "testing", ())


class _Flat(nn.Module):
    """A network of two linear layers with a vector output."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(SHAPE[0] * SHAPE[1] * SHAPE[2], 5), nn.ReLU())
        self.head = nn.Linear(5, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))  # type: ignore[no-any-return]


class _Map(nn.Module):
    """A network of two convolutions with a map output."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(SHAPE[0], 5, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(5, num_outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))  # type: ignore[no-any-return]


def dummy_network(num_outputs: int, kind: OutputKind) -> nn.Module:
    return _Map(num_outputs) if kind == "map" else _Flat(num_outputs)


class ToyTask(Task[Options]):
    """The task for networks and adaptations: cross-entropy for classes, the squared output for other targets."""

    monitor = Monitor("loss", "min")

    def __init__(self, target: Target) -> None:
        super().__init__(Options(), target, {})

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        output = outputs[MAIN_OUTPUT].float()
        if not isinstance(self.target, Classes) or batch.targets is None or output.ndim not in (2, 4):
            return Loss(output.square().flatten(1).mean(1))
        if output.ndim == 2:
            return Loss(F.cross_entropy(output, batch.targets, reduction="none"))
        pixels = batch.targets[:, None, None].expand(-1, *output.shape[2:])
        return Loss(F.cross_entropy(output, pixels, reduction="none").mean((1, 2)))

    def decision(self, val: EvaluationResult | None) -> Raw:
        return Raw()

    def evaluator(self, decision: Decision) -> Evaluator:
        return _ToyEvaluator(self)


class _ToyEvaluator(Evaluator):
    def __init__(self, task: ToyTask) -> None:
        self._task = task
        self._losses: list[Tensor] = []
        self._right: list[Tensor] = []

    def update(self, outputs: Outputs, batch: Batch) -> None:
        self._losses.append(self._task.loss(outputs, batch).values.cpu())
        if isinstance(self._task.target, Classes) and batch.targets is not None:
            self._right.append((outputs[MAIN_OUTPUT].argmax(1) == batch.targets).float().cpu())

    def merge(self, other: Self) -> None:
        self._losses += other._losses
        self._right += other._right

    def compute(self) -> EvaluationResult:
        right = {"accuracy": torch.cat(self._right).mean().item()} if self._right else {}
        losses = torch.cat(self._losses)
        return EvaluationResult({**right, "loss": losses.mean().item()}, {"loss": losses.numpy()})


@contextmanager
def other_generators() -> Iterator[None]:
    """Temporarily change the state of Python's and numpy's random generators, but not of torch's."""
    plain, of_numpy = random.getstate(), np.random.get_state()
    random.seed(OTHER_SEED)
    np.random.seed(OTHER_SEED)
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(of_numpy)
