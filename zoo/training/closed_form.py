"""Tasks that are solved in closed form: what a run does in place of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from zoo.api import Task
from zoo.data.data_loader import Data
from zoo.runs import checkpoints
from zoo.runs.run_directory import RunDir


def in_closed_form(task: Task) -> bool:
    return hasattr(task, "fit")


def solve(
    where: RunDir, task: Task, model: nn.Module, data: Data, structure: dict[str, Any], note: Callable[[str], None]
) -> str:
    """Fill the model of such a task, and keep it as a checkpoint, whose name is returned."""
    task.fit(model, data, note)  # type: ignore[attr-defined]  # a method that tasks may have
    return checkpoints.save(where, 0, model, {}, {"structure": structure, "fingerprint": data.fingerprint}, keep=1)
