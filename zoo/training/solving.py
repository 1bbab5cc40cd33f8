"""Runs without training: closed-form tasks, and adaptations that are not trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from zoo.api import Solver
from zoo.data.data_loader import Data
from zoo.runs import checkpoints
from zoo.runs.run_directory import RunDir


def solve(
    where: RunDir,
    solver: Solver[Any],
    model: nn.Module,
    data: Data,
    solution: dict[str, Any],
    print: Callable[[str], None],  # noqa: A002
) -> str:
    """Compute a solver's solution, write it as a checkpoint, and return the checkpoint's name."""
    solver.solve(model, data, print)
    return checkpoints.save(where, 0, model, {}, {"solution": solution, "fingerprint": data.fingerprint}, keep=1)


def keep_adapted(where: RunDir, model: nn.Module, data: Data, made: list[dict[str, Any]]) -> str:
    """Write a checkpoint of an adapted network that is not trained, and return its name."""
    return checkpoints.save(where, 0, model, {}, {"adaptations": made, "fingerprint": data.fingerprint}, keep=1)
