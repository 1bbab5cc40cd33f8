"""Tasks that are solved in closed form, and data without a report part: what a run does where there is nothing to train, or nothing to judge by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from zoo import checkpoints
from zoo.api import Exhibit, Part, Task
from zoo.data import Data
from zoo.evaluation import evaluate
from zoo.rundir import RunDir


def in_closed_form(task: Task) -> bool:
    return hasattr(task, "fit")


def solve(where: RunDir, task: Task, model: nn.Module, data: Data, structure: dict[str, Any], note: Callable[[str], None]) -> str:
    """Fill the model of such a task, and keep it as a checkpoint, whose name is returned."""
    task.fit(model, data, note)  # type: ignore[attr-defined]  # a method that tasks may have
    return checkpoints.save(where, 0, model, {}, {"structure": structure, "fingerprint": data.fingerprint}, keep=1)


def judged_part(data: Data) -> Part:
    """The report part; of data without one, what there is."""
    return "report" if "report" in data.parts else next(iter(data.parts))


def foretell(where: RunDir, model: nn.Module, task: Task, data: Data, batch_size: int) -> list[Exhibit]:
    """What the task makes of pictures without labels, in a folder of their own."""
    if "predict" not in data.parts:
        return []
    folder = where.path / "predict"
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    found = evaluate(model, task, data, "predict", batch_size)
    shown = task.report(found, data.part("predict"), data.classes, folder) or ()
    return [replace(each, file=f"predict/{each.file}") for each in shown]
