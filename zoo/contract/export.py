"""Exporters: how a model is written for deployment, and how such a file is checked and run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class Runner(Protocol):
    """An exported file, loaded by a runtime that is not torch; ``provider`` is the one that really runs it."""

    provider: str

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W), normalised → the main output, float32 (N, …)."""
        ...


class EmitRequest(NamedTuple):
    """What is asked of an exporter.

    ``batch`` None leaves the batch dynamic; ``metadata`` is written into the file, text by key.
    """

    opset: int | None
    batch: int | None
    metadata: Mapping[str, str]


class Exporter(Protocol):
    """Writes a model for deployment. Zoo's gate verifies what it wrote; nothing is published before that."""

    def emit(self, model: nn.Module, example: Tensor, path: Path, request: EmitRequest) -> None:
        """Write ``model`` (eval mode, CPU) to ``path``; ``example`` is (2, C, H, W).

        Raises ExportError naming operator and module.
        """
        ...

    def check(self, path: Path, request: EmitRequest) -> dict[str, Any]:
        """Verify the file's form (its checker, opset, metadata) and return what was found. Raises ExportError."""
        ...

    def runner(self, path: Path, provider: str) -> Runner:
        """Raises SetupError where ``provider`` (``"cpu"``, ``"cuda"``) is not the one that runs."""
        ...

    def first_mismatch(self, path: Path, model: nn.Module, inputs: Tensor, tolerance: float) -> str | None:
        """The first layer whose output is not the module's, or None where no layer by itself differs."""
        ...
