"""The best epoch is the one that the task's monitor says: the lowest where less is better."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal

import pytest

from zoo.api import Monitor
from zoo.training.train_state import Progress
from zoo.training.trainer import remember_best


def best_of(mode: Literal["max", "min"], values: list[float]) -> tuple[int, float]:
    """The epoch and the value that are remembered after epochs with these values."""
    state: Any = SimpleNamespace(task=SimpleNamespace(monitor=Monitor("loss", mode)), progress=Progress())
    for epoch, value in enumerate(values, start=1):
        state.progress.epoch = state.progress.step = epoch
        remember_best(state, {"epoch": epoch, "train_loss": -value, "val_loss": value})
    return state.progress.best["epoch"], state.progress.best["value"]


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("min", [0.5, 0.7, 0.3, 0.4], (3, 0.3)),
        ("min", [0.1, 0.2, 0.3], (1, 0.1)),
        ("max", [0.5, 0.7, 0.3, 0.4], (2, 0.7)),
        ("max", [0.1, 0.2, 0.3], (3, 0.3)),
        ("min", [0.3, 0.3], (1, 0.3)),  # of equal ones the first
        ("max", [0.3, 0.3], (1, 0.3)),
    ],
)
def test_the_best_epoch_is_that_of_the_mode(
    mode: Literal["max", "min"], values: list[float], expected: tuple[int, float]
) -> None:
    assert best_of(mode, values) == expected
