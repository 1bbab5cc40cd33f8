"""The first layer whose output differs from that of its PyTorch module is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import zoo_onnx.first_mismatch
from onnx import numpy_helper
from torch import nn
from zoo_onnx.exporter import OnnxExporter
from zoo_onnx.first_mismatch import FUSION

Write = Callable[..., Path]
Mismatch = Callable[[Path], "str | None"]


def edit(path: Path, name: str | None, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change an initializer of a file; without a name, its scalar constant."""
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name == name or (name is None and values.dtype == np.float32 and values.ndim == 0):
            tensor.CopyFrom(numpy_helper.from_array(np.array(change(values), order="C"), tensor.name))
            onnx.save(proto, path)
            return
    raise AssertionError(f"no initializer {name}")


@pytest.fixture
def mismatch(exporter: Callable[..., OnnxExporter], net: Callable[..., nn.Module]) -> Mismatch:
    def find(path: Path) -> str | None:
        inputs = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        return exporter().first_mismatch(path, net().eval(), inputs, 1e-4)

    return find


@pytest.mark.parametrize(
    ("opset", "name", "change", "layer"),
    [
        (18, "square.weight", lambda w: w * np.float32(1.1), r"square \(Linear\)"),
        (18, "twice.weight", lambda w: w.T, r"twice \(Linear\)"),
        (15, "twice.weight", lambda w: w.T, r"twice \(Linear\)"),
        (25, "head.bias", lambda b: b + np.float32(1), r"head \(Linear\)"),
        # the convolution before it is folded into it
        (
            18,
            "trunk.0.weight",
            lambda w: -w,
            r"trunk\.1 \(BatchNorm2d\)",
        ),
        (18, None, lambda c: c * np.float32(2), r"Mul 'mul\w*', called by Net"),
    ],
)
def test_the_first_layer_that_differs_is_named(
    write: Write,
    mismatch: Mismatch,
    opset: int,
    name: str | None,
    change: Callable[[np.ndarray], np.ndarray],
    layer: str,
) -> None:
    path = write(opset=opset)
    assert mismatch(path) is None
    edit(path, name, change)
    assert re.fullmatch(layer, str(mismatch(path)))


def test_a_fault_of_the_optimiser_is_told_apart(
    write: Write, mismatch: Mismatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stood in for by an optimised session that gives wrong logits: a real one has no such fault at hand."""
    path, real = write(), zoo_onnx.first_mismatch.open_session

    class Wrong:
        def run(self, *_: object) -> list[np.ndarray]:
            return [np.ones((2, 10), np.float32)]

    def open_session(path: Path, *, optimised: bool) -> object:
        return Wrong() if optimised else real(path, optimised=False)

    monkeypatch.setattr(zoo_onnx.first_mismatch, "open_session", open_session)
    assert mismatch(path) == FUSION
