from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, precision_score, recall_score
from zoo_screening.options import ScreeningOptions
from zoo_screening.screening import THRESHOLDS, Screening

from zoo.api import Batch, MultiLabel
from zoo.errors import UsageError
from zoo.testing import check_plugin

OPTIONS = ScreeningOptions(miss_cost=4, miss_costs={"rare": 9})
TARGET = MultiLabel(names=("often", "rare"))
RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.random((200, 2)) < [0.5, 0.1]
OUTPUTS = RANDOM.normal(size=(200, 2)) + TRUTH
BATCH = Batch(torch.zeros(200, 1), torch.from_numpy(TRUTH.astype(np.uint8)), torch.arange(200))


@pytest.fixture
def task() -> Screening:
    return Screening(OPTIONS, TARGET, Screening.statistics(OPTIONS, TARGET, None))


def evaluated(task, decision):
    evaluator = task.evaluator(decision)
    evaluator.update({"output": torch.from_numpy(OUTPUTS)}, BATCH)
    return evaluator.compute()


def cost(threshold: float, label: int, miss: float) -> float:
    _, false, missed, _ = confusion_matrix(TRUTH[:, label], 1 / (1 + np.exp(-OUTPUTS[:, label])) >= threshold).ravel()
    return (miss * missed + false) / len(TRUTH)


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin("screening")


def test_the_loss_weighs_a_present_label_by_its_cost(task: Screening) -> None:
    p = 1 / (1 + np.exp(-OUTPUTS))
    due = -(np.array([4, 9]) * TRUTH * np.log(p) + ~TRUTH * np.log(1 - p)).mean(1)
    assert task.loss({"output": torch.from_numpy(OUTPUTS)}, BATCH).values.numpy() == pytest.approx(due, rel=1e-5)


def test_the_fitted_thresholds_have_the_lowest_cost_by_scikit_learns_confusion_matrix(task: Screening) -> None:
    decision = task.decision(evaluated(task, task.decision(None)))
    for label, miss in enumerate((4, 9)):
        lowest = min(cost(each, label, miss) for each in THRESHOLDS)
        assert cost(decision.thresholds[label], label, miss) == pytest.approx(lowest)
    found = evaluated(task, decision)
    assert found.metrics["cost"] == pytest.approx(found.metrics["lowest_cost"])
    shown = 1 / (1 + np.exp(-OUTPUTS)) >= np.array(decision.thresholds)
    assert found.metrics["sensitivity"] == pytest.approx(recall_score(TRUTH, shown, average="micro"))
    assert found.metrics["precision"] == pytest.approx(precision_score(TRUTH, shown, average="micro"))


def test_the_cost_of_an_unknown_label_is_refused() -> None:
    with pytest.raises(UsageError, match="no label 'none'"):
        Screening.statistics(ScreeningOptions(miss_costs={"none": 2}), TARGET, None)
