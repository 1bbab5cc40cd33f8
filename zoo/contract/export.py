"""Exporters: write a model for deployment, then check and run the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class Runner(Protocol):
    """An exported file, loaded by a runtime other than PyTorch. ``provider`` is the execution provider in use."""

    provider: str

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return the main output, float32 (N, …), for normalised inputs, float32 (N, C, H, W)."""
        ...


class EmitRequest(NamedTuple):
    """Options of one export.

    ``opset`` is the ONNX opset; None is the exporter's default. ``batch`` is a fixed batch size; None makes the batch
    dynamic. ``metadata`` is written into the file.
    """

    opset: int | None
    batch: int | None
    metadata: Mapping[str, str]


class Exporter(Protocol):
    """Writes a model for deployment. Zoo verifies every written file against PyTorch before it publishes it."""

    def emit(self, model: nn.Module, example: Tensor, path: Path, request: EmitRequest) -> None:
        """Write ``model`` (in eval mode, on the CPU) to ``path``. ``example`` is an input, float32 (2, C, H, W).

        Raises ExportError that names the unsupported operator and its module.
        """
        ...

    def check(self, path: Path, request: EmitRequest) -> dict[str, Any]:
        """Check that the file is valid and has the requested opset and metadata; return the details for verify.json.

        Raises ExportError.
        """
        ...

    def runner(self, path: Path, provider: str) -> Runner:
        """Load the file with the execution provider ``"cpu"`` or ``"cuda"``.

        Raises SetupError if the runtime falls back to another provider.
        """
        ...

    def first_mismatch(self, path: Path, model: nn.Module, inputs: Tensor, tolerance: float) -> str | None:
        """Return the first layer whose output differs from that of its PyTorch module by more than ``tolerance``.

        None if no single layer differs.
        """
        ...
