"""A small network, and files of it that the exporter wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from zoo_onnx.exporter import OnnxExporter
from zoo_onnx.options import OnnxOptions

from zoo.api import ExportJob


class Call(nn.Module):
    """One function of tensors, as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs)


class Net(nn.Module):
    """Takes (B, 1, 8, 8). A module that is called twice, functions between modules, and one odd module."""

    def __init__(self, odd: Callable[[Tensor], Tensor] = torch.neg) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.odd = Call(odd)
        self.square = nn.Linear(144, 16)
        self.twice = nn.Linear(16, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.odd(self.trunk(inputs)).flatten(1)  # (B, 4, 6, 6) → (B, 144)
        hidden = F.hardswish(self.square(hidden) * 1.5)
        logits: Tensor = self.head(torch.tanh(self.twice(torch.tanh(self.twice(hidden)))))
        return logits


@pytest.fixture
def net() -> type[Net]:
    return Net


@pytest.fixture
def exporter() -> Callable[..., OnnxExporter]:
    """Makes the exporter of some options."""
    return lambda **options: OnnxExporter(OnnxOptions(**options))


@pytest.fixture
def job() -> Callable[..., ExportJob]:
    """Makes the job of exporting a network, by default `Net`."""

    def make(
        model: nn.Module | None = None, batch: int | None = None, metadata: Mapping[str, str] = {"zoo": "{}"}
    ) -> ExportJob:
        return ExportJob((model or Net()).eval(), torch.zeros(2, 1, 8, 8), batch=batch, metadata=metadata)

    return make


@pytest.fixture
def write(tmp_path: Path, exporter: Callable[..., OnnxExporter], job: Callable[..., ExportJob]) -> Callable[..., Path]:
    """Writes the file of a job; returns its path."""

    def put(given: ExportJob | None = None, path: Path | None = None, **options: int) -> Path:
        path = path or tmp_path / "model.onnx"
        exporter(**options).write(given or job(), path)
        return path

    return put
