from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.api import (
    Affine,
    Classes,
    Decision,
    Mask,
    MultiLabel,
    Output,
    OutputKind,
    PixelArgmax,
    Sigmoid,
    Softmax,
    Target,
    Values,
)
from zoo.config.item_options import build_exporter
from zoo.config.run_config import Section
from zoo.data.preprocessing import Preprocessing
from zoo.exporting.export import Bundle, export_model
from zoo.registry.lookup import registry
from zoo.runs.load_model import LoadedModel
from zoo.runs.resolve_config import resolve

CLASSES = tuple("0123456789")
TASKS = {"classes": "classification", "multi_label": "multi_label", "values": "regression", "mask": "segmentation"}
"""The task of zoo for each kind of target."""


class Small(nn.Module):
    """Both kinds of call: leaf modules, and functions called by the network itself. Takes 8×8 grey images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)  # (B, 1, 8, 8) → (B, 4, 6, 6)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.square = nn.Linear(36, 36)
        self.head = nn.Linear(36, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = F.max_pool2d(F.relu(self.norm(self.conv(inputs))), 2) * 1.5  # (B, 4, 3, 3)
        logits: Tensor = self.head(F.relu(self.square(self.drop(hidden.flatten(1)))))
        return logits


def target_of(decision: Decision | None) -> Target:
    """The target that a decision answers for."""
    match decision:
        case Softmax():
            return Classes(names=decision.classes)
        case Sigmoid():
            return MultiLabel(names=decision.classes)
        case Affine():
            return Values(names=decision.names, units=decision.units)
        case PixelArgmax():
            return Mask(names=decision.classes)
        case _:  # vectors and raw values answer for anything
            return Classes(names=CLASSES)


@pytest.fixture
def make_loaded() -> Callable[..., LoadedModel]:
    def make(
        model: nn.Module | None = None,
        recipe: str = "cnn_digits",
        classes: tuple[str, ...] = CLASSES,
        decision: Decision | None = None,
        kind: OutputKind = "vector",
    ) -> LoadedModel:
        torch.manual_seed(0)
        config = resolve(registry(), recipe).config
        shape = Preprocessing(channels=1, height=8, width=8, mean=(0.3,), std=(0.4,))
        network = (model or Small()).eval()
        target = Classes(names=classes) if classes else target_of(decision)
        task = registry().task(TASKS[target.kind]).canonical
        origin = {"kind": "run", "run": "cnn_digits/test", "metrics": {"accuracy": 0.1}}
        return LoadedModel(
            network,
            "tiny",
            target,
            decision or Softmax(classes=classes),
            shape,
            config if config.task.name == task else config.model_copy(update={"task": Section(name=task)}),
            origin,
            output=Output(kind=kind),
        )

    return make


@pytest.fixture
def run_export(make_loaded: Callable[..., LoadedModel], tmp_path: Path) -> Callable[..., Bundle]:
    def run(loaded: LoadedModel | None = None, **options: Any) -> Bundle:
        item = registry().exporter("onnx")
        if "options" in options:
            options["exporter"] = build_exporter(item, options.pop("options"))
        return export_model(
            registry(), loaded or make_loaded(), "as asked", item, **{"out": tmp_path / "out", **options}
        )

    return run
