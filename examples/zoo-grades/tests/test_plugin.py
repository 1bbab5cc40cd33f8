from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score
from zoo_grades.grades import Grades

from zoo.api import Batch, Classes, Options
from zoo.testing import check_plugin

TASK = Grades(Options(), Classes(names=("a", "b", "c", "d")), {})


def batch(*targets: int) -> Batch:
    labels = torch.tensor(targets)
    return Batch(torch.zeros(len(targets), 1, 1, 1), labels, labels)


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin("grades")


def test_a_certain_prediction_costs_the_number_of_grades_it_is_off() -> None:
    certain = torch.full((4, 4), -50.0).fill_diagonal_(50)  # predicts a, b, c and d
    assert TASK.loss({"output": certain}, batch(0, 0, 0, 0)).values.tolist() == pytest.approx([0, 1, 2, 3], abs=1e-5)


def test_kappa_equals_scikit_learns() -> None:
    random = np.random.default_rng(0)
    outputs, targets = random.normal(size=(50, 4)), random.integers(0, 4, 50)
    evaluator = TASK.evaluator(TASK.decision(None))
    evaluator.update({"output": torch.from_numpy(outputs)}, batch(*targets.tolist()))
    found, due = evaluator.compute(), cohen_kappa_score(targets, outputs.argmax(1), weights="quadratic")
    assert found.metrics["quadratic_kappa"] == pytest.approx(due, abs=1e-6)
    assert found.per_sample["grades_off"].tolist() == (outputs.argmax(1) - targets).tolist()
