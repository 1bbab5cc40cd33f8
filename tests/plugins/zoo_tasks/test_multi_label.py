"""Multi-label classification against scikit-learn, torch and the authors' formula of the asymmetric loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_tasks.label_options import MultiLabelOptions
from zoo_tasks.multi_label import MultiLabelClassification, asymmetric_loss
from zoo_tasks.multi_label_metrics import average_precision, best_threshold

from zoo.api import Batch, EvaluationResult, MultiLabel, Sigmoid
from zoo.errors import DataError, UsageError
from zoo.runtime import sigmoid

NAMES = ("a", "b", "c", "d", "e")
TARGET = MultiLabel(names=NAMES)


def made(count: int = 200, seed: int = 0, *, ties: bool = False) -> tuple[Tensor, Tensor]:
    """Logits that are right more often than by chance, and labels that differ in frequency."""
    generator = torch.Generator().manual_seed(seed)
    truth = (torch.rand(count, 5, generator=generator) < torch.tensor([0.5, 0.3, 0.2, 0.1, 0.05])).to(torch.uint8)
    logits = 2 * torch.randn(count, 5, generator=generator) + 2 * truth - 1
    return (logits.round() if ties else logits), truth


class Part:
    """A split without images."""

    def __init__(self, targets: np.ndarray | None, count: int = 4) -> None:
        self.targets, self._count = targets, count if targets is None else len(targets)

    def __len__(self) -> int:
        return self._count


def task_of(statistics: dict[str, object] | None = None, **options: object) -> MultiLabelClassification:
    return MultiLabelClassification(MultiLabelOptions.model_validate(options), TARGET, statistics or {})


def batches(logits: Tensor, truth: Tensor, size: int = 64) -> Iterator[tuple[dict[str, Tensor], Batch]]:
    for rows in torch.arange(len(logits)).split(size):
        yield {"output": logits[rows]}, Batch(logits[rows], truth[rows], rows)


def evaluated(
    task: MultiLabelClassification, logits: Tensor, truth: Tensor, decision: Sigmoid | None = None
) -> EvaluationResult:
    evaluator = task.evaluator(decision or task.decision(None))
    for outputs, batch in batches(logits, truth):
        evaluator.update(outputs, batch)
    return evaluator.compute()


@pytest.mark.parametrize("ties", [False, True])
def test_the_metrics_equal_those_of_scikit_learn(ties: bool) -> None:
    logits, truth = made(ties=ties)
    decision = Sigmoid(classes=NAMES, thresholds=(0.5, 0.4, 0.3, 0.6, 0.2))
    found = evaluated(task_of(), logits, truth, decision)
    scores = sigmoid(logits.numpy())
    predicted = scores >= np.array(decision.thresholds)
    expected = {
        "map": metrics.average_precision_score(truth, scores, average="macro"),
        "micro_f1": metrics.f1_score(truth, predicted, average="micro"),
        "macro_f1": metrics.f1_score(truth, predicted, average="macro"),
        "loss": np.mean(
            [metrics.log_loss(truth[:, at], scores[:, at], labels=[0, 1]) for at in range(len(NAMES))],
        ),
    }
    assert found.metrics == pytest.approx(expected, abs=1e-6)
    per_label = found.details["per_label"]
    precision, recall, f1, count = metrics.precision_recall_fscore_support(truth, predicted, zero_division=0)
    np.testing.assert_allclose([per_label[name] for name in ("precision", "recall", "f1")], [precision, recall, f1])
    assert per_label["count"] == count.tolist()
    assert found.per_sample["wrong_labels"].sum() == (predicted != truth.numpy().astype(bool)).sum()


def test_average_precision_equals_that_of_torchmetrics() -> None:
    from torchmetrics.classification import MultilabelAveragePrecision

    logits, truth = made(seed=4)
    expected = MultilabelAveragePrecision(5, average="macro")(logits.double().sigmoid(), truth.long())
    assert evaluated(task_of(), logits, truth).metrics["map"] == pytest.approx(float(expected), abs=1e-6)


def test_a_label_on_no_image_has_no_average_precision_and_does_not_count() -> None:
    logits, truth = made()
    truth[:, 4] = 0
    found = evaluated(task_of(), logits, truth)
    assert found.details["per_label"]["average_precision"][4] is None
    expected = metrics.average_precision_score(truth[:, :4], sigmoid(logits[:, :4].numpy()), average="macro")
    assert found.metrics["map"] == pytest.approx(expected, abs=1e-6)
    assert found.details["best_thresholds"][4] == 0.5
    assert average_precision(np.zeros(3, bool), np.arange(3.0)) is None


@pytest.mark.parametrize("seed", range(5))
def test_the_best_threshold_is_that_of_an_exhaustive_search(seed: int) -> None:
    logits, truth = made(60, seed, ties=seed > 2)
    for column in range(len(NAMES)):
        scores, labels = sigmoid(logits[:, column].numpy()), truth[:, column].numpy().astype(bool)
        if not labels.any():
            continue
        best = max(metrics.f1_score(labels, scores >= threshold) for threshold in scores)
        found = best_threshold(labels, scores)
        assert metrics.f1_score(labels, scores >= found) == pytest.approx(best, abs=1e-12)
        assert 0 < found < 1 and found not in scores


def test_the_thresholds_are_fitted_on_val_and_used_on_test() -> None:
    task = task_of()
    val = evaluated(task, *made(seed=1))
    decision = task.decision(val)
    assert list(decision.thresholds) == val.details["best_thresholds"] != [0.5] * 5
    assert evaluated(task, *made(seed=1), decision).metrics["macro_f1"] > val.metrics["macro_f1"]
    assert evaluated(task, *made(seed=2), decision).details["per_label"]["threshold"] == list(decision.thresholds)
    assert task.decision(None).thresholds == (0.5,) * 5
    assert task_of(threshold=0.3).decision(val).thresholds == (0.3,) * 5


def test_merging_evaluators_equals_one_over_all() -> None:
    task, (logits, truth) = task_of(), made()
    parts = [task.evaluator(task.decision(None)) for _ in range(2)]
    for evaluator, rows in zip(parts, (slice(0, 70), slice(70, None)), strict=True):
        for outputs, batch in batches(logits[rows], truth[rows]):
            evaluator.update(outputs, batch)
    parts[0].merge(parts[1])
    assert parts[0].compute().metrics == pytest.approx(dict(evaluated(task, logits, truth).metrics), abs=1e-12)


def reference_asymmetric(x: Tensor, y: Tensor, gamma_pos: float, gamma_neg: float, clip: float) -> Tensor:
    """The formula of the authors' implementation (AsymmetricLoss), in float64."""
    x, y = x.double(), y.double()
    positive = torch.sigmoid(x)
    negative = (1 - positive + clip).clamp(max=1)
    loss = y * positive.clamp(min=1e-8).log() + (1 - y) * negative.clamp(min=1e-8).log()
    chosen = positive * y + negative * (1 - y)
    return -loss * (1 - chosen) ** (gamma_pos * y + gamma_neg * (1 - y))


@pytest.mark.parametrize("gammas", [(0.0, 0.0, 0.0), (1.0, 4.0, 0.05), (0.0, 2.0, 0.2)])
def test_the_asymmetric_loss_is_that_of_its_authors(gammas: tuple[float, float, float]) -> None:
    logits, truth = made()
    found = asymmetric_loss(logits, truth.float(), *gammas)
    torch.testing.assert_close(found.double(), reference_asymmetric(logits, truth, *gammas), rtol=1e-5, atol=1e-6)
    plain = F.binary_cross_entropy_with_logits(logits, truth.float(), reduction="none")
    assert gammas != (0.0, 0.0, 0.0) or torch.allclose(found, plain, atol=1e-5)


def test_the_asymmetric_loss_has_finite_gradients_at_extreme_outputs() -> None:
    logits = torch.tensor([[-200.0, 200.0, 0.0, -200.0, 200.0]], requires_grad=True)
    batch = Batch(logits, torch.tensor([[1, 0, 1, 0, 1]], dtype=torch.uint8), torch.arange(1))
    task_of(loss="asymmetric").loss({"output": logits}, batch).values.sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_positive_weights_are_those_of_torch() -> None:
    logits, truth = made()
    part = Part(truth.numpy())
    options = MultiLabelOptions(positive_weights="balanced")
    statistics = MultiLabelClassification.statistics(options, TARGET, part)
    positives = truth.double().sum(0)
    np.testing.assert_allclose(statistics["positive_weights"], (len(truth) - positives) / positives, rtol=1e-6)
    task = MultiLabelClassification(options, TARGET, statistics)
    found = task.loss({"output": logits}, Batch(logits, truth, torch.arange(len(truth)))).values.mean()
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(statistics["positive_weights"]))
    torch.testing.assert_close(found, criterion(logits, truth.float()))


def test_faults_of_the_weights_are_one_line() -> None:
    with pytest.raises(UsageError, match="there are 2 weights for 5 labels"):
        MultiLabelClassification.statistics(MultiLabelOptions(positive_weights=[1, 2]), TARGET, Part(None))
    balanced = MultiLabelOptions(positive_weights="balanced")
    with pytest.raises(DataError, match="no training image has the label 'b', 'c'"):
        MultiLabelClassification.statistics(balanced, TARGET, Part(np.array([[1, 0, 0, 1, 1]] * 3)))
    with pytest.raises(DataError, match="the train split has none"):
        MultiLabelClassification.statistics(balanced, TARGET, Part(None))
    assert MultiLabelClassification.statistics(MultiLabelOptions(), TARGET, Part(None)) == {}
