from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from zoo_triplets.options import TripletsOptions
from zoo_triplets.triplets import Triplets, of_query

from zoo.api import Batch, Classes
from zoo.testing import check_plugin

RANDOM = np.random.default_rng(0)
OUTPUTS, LABELS = RANDOM.normal(size=(12, 5)), np.array([0, 1, 2] * 3 + [0, 0, 3])
TASK = Triplets(TripletsOptions(margin=0.4), Classes(names=("a", "b", "c", "d")), {})
BATCH = Batch(torch.zeros(12, 1), torch.from_numpy(LABELS), torch.arange(12))


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin("triplets")


def test_the_loss_is_the_mean_over_all_triplets_that_are_not_far_enough_apart() -> None:
    unit = OUTPUTS / np.linalg.norm(OUTPUTS, axis=1, keepdims=True)
    terms = [
        np.linalg.norm(unit[a] - unit[p]) - np.linalg.norm(unit[a] - unit[n]) + 0.4
        for a, p, n in itertools.permutations(range(12), 3)
        if LABELS[a] == LABELS[p] != LABELS[n]
    ]
    loss = TASK.loss({"output": torch.from_numpy(OUTPUTS)}, BATCH)
    due = np.mean([each for each in terms if each > 0])
    assert float((loss.values * loss.weights).sum() / loss.weights.sum()) == pytest.approx(due, rel=1e-4)
    assert loss.weights[11] == 0  # it is alone in its class


def test_vectors_that_are_all_equal_have_a_finite_gradient() -> None:
    outputs = torch.ones(12, 5, requires_grad=True)
    TASK.loss({"output": outputs}, BATCH).values.sum().backward()
    assert bool(outputs.grad.isfinite().all())


def test_the_average_precision_at_r_of_a_ranking_by_hand() -> None:
    """The other images of the class are at the ranks 1, 3 and 4: the first three count (1/1 + 0 + 2/3) / 3."""
    vectors = np.array([[1, 0], [0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert of_query(0, vectors, np.array([0, 0, 1, 0, 0])) == pytest.approx(((1 + 2 / 3) / 3, 1.0))
    assert np.isnan(of_query(2, vectors, np.array([0, 0, 1, 0, 0]))[0])
