"""The classification task against scikit-learn and plain formulas."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss
from torch import nn
from zoo_tasks.classification import build

from zoo.api import Batch, Evaluation


class Fixed(nn.Module):
    """Gives back its inputs as logits."""

    def forward(self, x):
        return x


@pytest.fixture
def judged():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(57, 4, generator=generator)
    labels = torch.randint(4, (57,), generator=generator)
    batches = [Batch(x, y, i) for x, y, i in zip(logits.split(10), labels.split(10), torch.arange(57).split(10), strict=True)]
    return logits, labels, build().evaluate(Fixed(), batches, "abcd")


def test_metrics_agree_with_scikit_learn(judged):
    logits, labels, found = judged
    probabilities = logits.double().softmax(1).numpy()
    assert found.metrics["accuracy"] == accuracy_score(labels, logits.argmax(1))
    assert found.metrics["loss"] == pytest.approx(log_loss(labels, probabilities, labels=range(4)), rel=1e-5)
    assert found.details["confusion"] == confusion_matrix(labels, logits.argmax(1), labels=range(4)).tolist()


def test_the_loss_is_the_references_nll_of_a_log_softmax(judged):
    logits, labels, _ = judged
    reference = nn.NLLLoss()(nn.LogSoftmax(1)(logits), labels)
    torch.testing.assert_close(build().loss(logits, Batch(logits, labels, labels)), reference)


def test_without_labels_there_are_outputs_and_no_metrics():
    found = build().evaluate(Fixed(), [Batch(torch.ones(3, 2), None, torch.arange(3))], "ab")
    assert found.metrics == {}
    assert found.labels is None
    assert found.outputs.shape == (3, 2)


class Part:
    names = ("a.png", "b,c.png", "<b>.png")

    def __len__(self):
        return 3

    def pictures(self, indices):
        return np.zeros((len(list(indices)), 4, 4, 1), np.uint8)


@pytest.mark.parametrize("labels", [None, np.array([0, 1, 1])])
def test_the_report_writes_predictions_in_order_and_pictures_where_there_are_truths(tmp_path, labels):
    outputs = np.array([[2, 0], [0, 1], [3, -1]], np.float32)
    metrics = {} if labels is None else {"accuracy": 2 / 3}
    evaluation = Evaluation(metrics, outputs, labels, {"confusion": [[1, 0], [1, 1]]})
    build().report(evaluation, Part(), ["$x$ cat", "dog"], tmp_path)
    rows = list(csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()))
    assert [row["sample"] for row in rows] == list(Part.names)
    assert [row["prediction"] for row in rows] == ["$x$ cat", "dog", "$x$ cat"]
    assert float(rows[0]["p(dog)"]) == pytest.approx(1 / (1 + np.exp(2)), abs=1e-6)
    drawn = {path.name for path in tmp_path.glob("plots/*.png")}
    assert drawn == (set() if labels is None else {"confusion.png", "predictions.png", "mistakes.png"})
