from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_pinball_loss
from zoo_intervals.intervals import Intervals
from zoo_intervals.options import IntervalsOptions

from zoo.api import Batch, Values
from zoo.testing import check_plugin

RANDOM = np.random.default_rng(0)
NUMBERS, OUTPUTS = RANDOM.normal(10, 3, (100, 2)).astype(np.float32), RANDOM.normal(size=(100, 6)).astype(np.float32)
BATCH = Batch(torch.zeros(100, 1), torch.from_numpy(NUMBERS), torch.arange(100))


@pytest.fixture
def task() -> Intervals:
    statistics = {"mean": [10.0, 9.0], "sd": [3.0, 2.0]}
    return Intervals(IntervalsOptions(coverage=0.8), Values(names=("x", "y"), units=("mm", "g")), statistics)


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin("intervals")


def test_the_loss_is_the_mean_of_scikit_learns_pinball_losses(task: Intervals) -> None:
    wanted = (NUMBERS - [10, 9]) / [3, 2]
    due = [
        mean_pinball_loss(wanted, OUTPUTS.reshape(100, 2, 3)[..., place], alpha=quantile)
        for place, quantile in enumerate((0.1, 0.5, 0.9))
    ]
    loss = task.loss({"output": torch.from_numpy(OUTPUTS)}, BATCH)
    assert float(loss.values.mean()) == pytest.approx(np.mean(due), rel=1e-5)


def test_the_fitted_intervals_contain_the_stated_fraction(task: Intervals) -> None:
    """Of n samples, ⌈(n + 1) · coverage⌉ are within."""

    def evaluated(decision):
        evaluator = task.evaluator(decision)
        evaluator.update({"output": torch.from_numpy(OUTPUTS)}, BATCH)
        return evaluator.compute()

    before = evaluated(task.decision(None))
    decision = task.decision(before)
    assert before.metrics["coverage"] < 0.7
    assert evaluated(decision).metrics["coverage"] == pytest.approx(math.ceil(101 * 0.8) / 100)
    assert decision.names == ("x_low", "x", "x_high", "y_low", "y", "y_high")
    assert decision.units == ("mm",) * 3 + ("g",) * 3
