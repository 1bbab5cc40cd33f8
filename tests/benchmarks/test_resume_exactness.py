"""The script that tries every optimizer: by all schedules, precisions and options an optimizer is exact, or refused
with one reason."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "resume_exactness.py"
EXACT = "exact, 12 of 12 | exact, 1 of 1 | exact, 1 of 1 |  |"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        yield importlib.import_module("resume_exactness")


@pytest.fixture
def tasks(script: ModuleType) -> ModuleType:
    return script.resume_tasks


@pytest.mark.parametrize("name", ["radamlegacy", "lookahead_adamw"])
def test_optimizers_that_once_resumed_inexactly_are_exact_by_every_schedule(script: ModuleType, name: str) -> None:
    assert script.row(name) == f"| `{name}` | {EXACT}"


def test_a_refusal_has_its_reason(script: ModuleType) -> None:
    reason = "a step of the optimizer fails: SparseAdam does not support dense gradients, please consider Adam instead"
    assert script.row("sparseadam") == f"| `sparseadam` | refused | refused | refused | {reason} |"


@pytest.mark.slow
def test_no_optimizer_is_exact_by_one_schedule_and_refused_by_another(script: ModuleType) -> None:
    for name in script.optimizers():
        row = script.row(name)
        # which takes no weight decay
        assert EXACT in row or "refused | refused | refused" in row or name == "rprop", row


@pytest.mark.parametrize(
    ("task", "options"),
    [("classification", {"class_weights": "balanced"}), ("transfer", {"unfreeze_every": 1}), ("retrieval", {})],
)
def test_a_stopped_run_of_a_task_ends_as_one_that_nothing_stopped(tasks, tmp_path, task, options) -> None:
    assert tasks.difference(task, options, tasks.HOW["adamw, cosine, fp16"], tasks.trained(tmp_path), tmp_path) is None


def test_the_page_has_the_figures_of_every_optimizer_and_every_option_of_a_task(
    script: ModuleType, tasks: ModuleType
) -> None:
    page = script.PAGE.read_text(encoding="utf-8")
    rows = dict(line.split(" | ", 1) for line in page.splitlines() if line.startswith("| `"))
    for task, options in tasks.cases():
        assert rows[f"| {tasks.label(task, options)}"] == f"{' | '.join(['exact'] * len(tasks.HOW))} |"
    listed = set(re.findall(r"`([a-z0-9_]+)`", page.partition(script.MARK)[2].partition(script.TASKS)[0]))
    both = page.partition(script.BOTH)[2].partition("\n\n")[0]
    listed |= {f"lookahead_{name}" for name in re.findall(r"`([a-z0-9_]+)`", both)}
    assert set(script.optimizers()) <= listed


@pytest.mark.slow
def test_every_option_of_a_task_is_exact(tasks: ModuleType) -> None:
    assert all(set(row.split(" | ")[1:]) == {"exact", "exact |"} for row in list(tasks.lines())[2:])
