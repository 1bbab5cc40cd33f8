from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_score, recall_score
from zoo_spots.tversky import Tversky, TverskyOptions

from zoo.api import Batch, Mask
from zoo.testing import check_plugin

RANDOM = np.random.default_rng(0)
MASKS = RANDOM.choice([0, 1, 2, 255], (5, 6, 6)).astype(np.uint8)
OUTPUTS = RANDOM.normal(size=(5, 3, 6, 6)).astype(np.float32)
BATCH = Batch(torch.zeros(5, 1, 6, 6), torch.from_numpy(MASKS), torch.arange(5))


def task(**options: float) -> Tversky:
    return Tversky(TverskyOptions.model_validate(options), Mask(names=("ground", "a", "b")), {})


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin("spots")


def test_the_loss_is_its_formula_over_the_pixels_that_are_not_ignored() -> None:
    p = np.exp(OUTPUTS) / np.exp(OUTPUTS).sum(1, keepdims=True)
    due = []
    for image in range(5):
        counted, terms = MASKS[image] != 255, []
        for each in (1, 2):
            share, truth = p[image, each][counted], MASKS[image][counted] == each
            hit, missed, false = share[truth].sum(), (1 - share[truth]).sum(), share[~truth].sum()
            terms.append((1 - (hit + 1) / (hit + 0.8 * missed + 0.2 * false + 1)) ** 0.5)
        due.append(np.mean(terms))
    found = task(missed=0.8, focus=0.5).loss({"output": torch.from_numpy(OUTPUTS)}, BATCH)
    assert found.values.tolist() == pytest.approx(due, rel=1e-5)


def test_metrics_equal_scikit_learns() -> None:
    found = task().evaluator(task().decision(None))
    found.update({"output": torch.from_numpy(OUTPUTS)}, BATCH)
    counted = MASKS != 255
    truth, predicted = MASKS[counted], OUTPUTS.argmax(1)[counted]
    due = {"dice": f1_score, "sensitivity": recall_score, "precision": precision_score}
    for name, score in due.items():
        expected = score(truth, predicted, labels=[1, 2], average="macro")
        assert found.compute().metrics[name] == pytest.approx(expected, abs=1e-9)
