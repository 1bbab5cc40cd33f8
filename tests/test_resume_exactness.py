"""The script that tries every optimizer: by all schedules, precisions and options an optimizer is exact, or refused with one reason."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "resume_exactness.py"
EXACT = "exact, 12 of 12 | exact, 1 of 1 | exact, 1 of 1 |  |"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("resume_exactness", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["radamlegacy", "lookahead_adamw"])
def test_optimizers_that_once_resumed_inexactly_are_exact_by_every_schedule(script: ModuleType, name: str) -> None:
    assert script.row(name) == f"| `{name}` | {EXACT}"


def test_a_refusal_has_its_reason(script: ModuleType) -> None:
    reason = "the optimizer cannot take a step: SparseAdam does not support dense gradients, please consider Adam instead"
    assert script.row("sparseadam") == f"| `sparseadam` | refused | refused | refused | {reason} |"


@pytest.mark.slow
def test_no_optimizer_is_exact_by_one_schedule_and_refused_by_another(script: ModuleType) -> None:
    for name in script.optimizers():
        row = script.row(name)
        assert EXACT in row or "refused | refused | refused" in row, row
