"""Small data and networks that the checks try components with: seeded, in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.api import (
    Classes,
    Mask,
    MultiLabel,
    NoTarget,
    Opaque,
    OutputKind,
    Split,
    Target,
    TargetKind,
    Values,
    target_names,
)
from zoo.data.data_loader import Data
from zoo.data.loaded_part import LoadedPart
from zoo.data.preprocessing import Preprocessing

SHAPE, NAMES, SAMPLES = (1, 8, 8), ("round", "square", "other"), 12


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


def dummy_targets(target: Target, count: int, random: np.random.RandomState) -> np.ndarray | None:
    """So many targets, of every class and value."""
    width = len(target_names(target))
    match target:
        case Classes():
            return np.arange(count) % width
        case MultiLabel():
            return random.randint(0, 2, (count, width)).astype(np.uint8)
        case Values():
            return random.normal(3, 2, (count, width)).astype(np.float32)
        case Mask():
            return random.randint(0, width, (count, *SHAPE[1:])).astype(np.uint8)
        case Opaque():
            return random.normal(0, 1, (count, *SHAPE[1:])).astype(target.dtype)
        case _:
            return None


def dummy_data(kind: TargetKind) -> Data:
    """A train, a validation and a test split of other samples each."""
    target, random = dummy_target(kind), np.random.RandomState(0)
    preprocessing = Preprocessing(channels=1, height=SHAPE[1], width=SHAPE[2], mean=(0.5,), std=(0.25,))
    parts: dict[Any, Any] = {}
    for part in ("train", "val", "test"):
        images = random.randint(0, 256, (SAMPLES, *SHAPE)).astype(np.uint8)
        split = Split(images, dummy_targets(target, SAMPLES, random))
        parts[part] = LoadedPart(split, preprocessing, torch.device("cpu"))
    return Data("testing/noise", target, parts, preprocessing, "testing", ())


class _Flat(nn.Module):
    """A vector from an image, by two linear layers."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(SHAPE[0] * SHAPE[1] * SHAPE[2], 5), nn.ReLU())
        self.head = nn.Linear(5, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))  # type: ignore[no-any-return]


class _Map(nn.Module):
    """A map from an image, by two convolutions."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(SHAPE[0], 5, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(5, num_outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))  # type: ignore[no-any-return]


def dummy_network(_data: Data, num_outputs: int, kind: OutputKind) -> nn.Module:
    return _Map(num_outputs) if kind == "map" else _Flat(num_outputs)
