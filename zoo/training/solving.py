"""Tasks that are solved without training: what a run does in place of it."""

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
    """Fill the module of a solver, and keep it as a checkpoint, whose name is returned."""
    solver.solve(model, data, print)
    return checkpoints.save(where, 0, model, {}, {"solution": solution, "fingerprint": data.fingerprint}, keep=1)


def keep_adapted(where: RunDir, model: nn.Module, data: Data, made: list[dict[str, Any]]) -> str:
    """The checkpoint of a network that was adapted and is not trained."""
    return checkpoints.save(where, 0, model, {}, {"adaptations": made, "fingerprint": data.fingerprint}, keep=1)
