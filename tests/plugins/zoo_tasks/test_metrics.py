"""The evaluator of classification, which sees a part batch by batch, against scikit-learn, torchmetrics and plain
formulas over the whole part; merged and whole."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional import classification as theirs
from zoo_tasks.metrics import ClassificationEvaluator

from zoo.api import Batch, EvaluationResult

CLOSE = 1e-6


def made(count: int, classes: int, present: Sequence[int] | None = None, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Logits that are right more often than by chance, and labels, of the classes that are ``present`` alone."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes if present is None else len(present), (count,), generator=generator)
    labels = labels if present is None else torch.tensor(present)[labels]
    return 2 * (torch.randn(count, classes, generator=generator) + F.one_hot(labels, classes)), labels


def never_predicted(logits: Tensor, *classes: int) -> Tensor:
    lowered = logits.clone()
    lowered[:, classes] -= 12
    return lowered


def update(evaluator: ClassificationEvaluator, logits: Tensor, labels: Tensor, batch_size: int = 10) -> None:
    for rows in torch.arange(len(labels)).split(batch_size):
        evaluator.update({"output": logits[rows]}, Batch(logits[rows], labels[rows], rows))


def evaluate(logits: Tensor, labels: Tensor, pieces: int = 1) -> EvaluationResult:
    """By one evaluator or, of pieces of different sizes, by one each that are merged in their order."""
    bounds = [round(len(labels) * (place / pieces) ** 2) for place in range(pieces + 1)]
    evaluators = []
    for start, end in itertools.pairwise(bounds):
        evaluators.append(ClassificationEvaluator(logits.shape[1]))
        update(evaluators[-1], logits[start:end], labels[start:end])
    for evaluator in evaluators[1:]:
        evaluators[0].merge(evaluator)
    return evaluators[0].compute()


class Case(NamedTuple):
    logits: Tensor
    labels: Tensor
    found: EvaluationResult

    @property
    def classes(self) -> int:
        return self.logits.shape[1]

    @property
    def guesses(self) -> np.ndarray:
        return self.logits.argmax(1).numpy()

    @property
    def probabilities(self) -> np.ndarray:
        return self.logits.double().softmax(1).numpy()


FEW, MANY = made(57, 4), made(400, 12)
PARTIAL = made(200, 9, present=(0, 2, 3, 8))
DATA = {
    "few": FEW,
    "many": MANY,
    "many classes, few samples": made(23, 40),
    "classes without labels": PARTIAL,
    "classes with neither": (never_predicted(PARTIAL[0], 1, 4, 7), PARTIAL[1]),
    "a class that is never predicted": (never_predicted(MANY[0], 5), MANY[1]),
    "one sample": made(1, 6),
}


@pytest.fixture(params=[1, 2, 5], ids=["whole", "2 merged", "5 merged"])
def pieces(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=DATA)
def case(request: pytest.FixtureRequest, pieces: int) -> Case:
    logits, labels = DATA[request.param]
    return Case(logits, labels, evaluate(logits, labels, min(pieces, len(labels))))


def test_metrics_agree_with_scikit_learn(case: Case) -> None:
    labels, found = case.labels, case.found
    classes = range(case.classes)
    assert found.metrics["accuracy"] == accuracy_score(labels, case.guesses)
    assert found.metrics["loss"] == pytest.approx(log_loss(labels, case.probabilities, labels=classes), abs=CLOSE)
    assert found.metrics["macro_f1"] == pytest.approx(f1_score(labels, case.guesses, average="macro"), abs=CLOSE)
    assert found.details["confusion"] == confusion_matrix(labels, case.guesses, labels=classes).tolist()
    if case.classes > 5:
        assert found.metrics["top5_accuracy"] == pytest.approx(
            top_k_accuracy_score(labels, case.probabilities, k=5, labels=classes), abs=CLOSE
        )
    assert list(found.metrics) == [
        "accuracy",
        *(["top5_accuracy"] if case.classes > 5 else []),
        "macro_f1",
        "calibration_error",
        "loss",
    ]


def test_metrics_agree_with_torchmetrics(case: Case) -> None:
    logits, labels, found = case
    several = {"num_classes": case.classes}
    expected = {
        "accuracy": theirs.multiclass_accuracy(logits, labels, average="micro", **several),
        "macro_f1": theirs.multiclass_f1_score(logits, labels, average="macro", **several),
        "calibration_error": theirs.multiclass_calibration_error(logits.softmax(1), labels, n_bins=15, **several),
        "loss": F.cross_entropy(logits, labels),
    }
    if case.classes > 5:
        expected["top5_accuracy"] = theirs.multiclass_accuracy(logits, labels, average="micro", top_k=5, **several)
    assert found.metrics == pytest.approx({name: value.item() for name, value in expected.items()}, abs=CLOSE)
    by_class = {
        "precision": theirs.multiclass_precision,
        "recall": theirs.multiclass_recall,
        "f1": theirs.multiclass_f1_score,
    }
    for name, score in by_class.items():
        assert found.details["per_class"][name] == score(logits, labels, average="none", **several).tolist()
    # as figures of earlier runs have it, to the bit
    assert found.metrics["macro_f1"] == expected["macro_f1"].item()
    assert found.details["confusion"] == theirs.multiclass_confusion_matrix(logits, labels, **several).tolist()


def test_figures_by_class_agree_with_scikit_learn(case: Case) -> None:
    expected = precision_recall_fscore_support(case.labels, case.guesses, labels=range(case.classes), zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "count"), expected, strict=True):
        np.testing.assert_allclose(case.found.details["per_class"][name], values, atol=CLOSE)


def test_the_calibration_error_is_numpys(case: Case) -> None:
    labels, found = case.labels, case.found
    confidence, right = case.probabilities.max(1), case.probabilities.argmax(1) == labels.numpy()
    error, bins = 0.0, found.details["reliability"]
    for place, low in enumerate(np.arange(15) / 15):
        held = (confidence >= low) & (confidence < low + 1 / 15)
        assert bins["count"][place] == held.sum()
        if held.any():
            assert bins["accuracy"][place] == pytest.approx(right[held].mean()) and bins["confidence"][
                place
            ] == pytest.approx(confidence[held].mean())
            error += held.mean() * abs(right[held].mean() - confidence[held].mean())
    assert found.metrics["calibration_error"] == pytest.approx(error)


def test_columns_by_sample_are_in_the_order_of_the_part(case: Case) -> None:
    columns = case.found.per_sample
    assert list(columns) == ["prediction", "confidence", "correct", "loss"]
    assert np.array_equal(columns["prediction"], case.guesses)
    assert np.array_equal(columns["correct"], case.guesses == case.labels.numpy())
    np.testing.assert_allclose(columns["confidence"], case.probabilities.max(1), atol=1e-15)
    losses = F.cross_entropy(case.logits.double(), case.labels, reduction="none")
    np.testing.assert_allclose(columns["loss"], losses, atol=2 * CLOSE)
    assert [columns[name].dtype for name in columns] == [np.int64, np.float64, np.bool_, np.float32]


@pytest.mark.parametrize("name", [name for name in DATA if name != "one sample"])
def test_merged_evaluators_give_what_one_gives_to_the_bit(name: str) -> None:
    logits, labels = DATA[name]
    whole = evaluate(logits, labels)
    for pieces in (2, 3, 7):
        merged = evaluate(logits, labels, pieces)
        assert (merged.metrics, merged.details) == (whole.metrics, whole.details)
        assert all(np.array_equal(merged.per_sample[name], column) for name, column in whole.per_sample.items())


def test_an_evaluator_that_has_seen_nothing_adds_nothing() -> None:
    """As that of a process that has no sample of a small part."""
    logits, labels = FEW
    for order in (0, 1):
        seen, empty = ClassificationEvaluator(4), ClassificationEvaluator(4)
        update(seen, logits, labels)
        first, second = (seen, empty) if order == 0 else (empty, seen)
        first.merge(second)
        assert first.compute().metrics == evaluate(logits, labels).metrics


@pytest.mark.parametrize("batch_size", [1, 7, 57])
def test_the_size_of_batches_changes_nothing(batch_size: int) -> None:
    logits, labels = FEW
    evaluator = ClassificationEvaluator(4)
    update(evaluator, logits, labels, batch_size)
    found, expected = evaluator.compute(), evaluate(logits, labels)
    assert (found.metrics, found.details) == (expected.metrics, expected.details)


def test_a_network_that_is_wholly_sure_is_calibrated_by_its_accuracy() -> None:
    found = evaluate(torch.eye(3)[[0, 1, 2, 0]] * 1e4, torch.tensor([0, 1, 2, 2]))
    assert found.metrics["calibration_error"] == pytest.approx(0.25)
    assert found.details["reliability"]["count"] == [*[0] * 14, 4]


def test_a_class_that_is_absent_from_labels_and_predictions_does_not_lower_macro_f1() -> None:
    found = evaluate(torch.eye(4)[[0, 1, 1]], torch.tensor([0, 1, 1]))
    assert found.metrics["macro_f1"] == 1.0 and found.details["per_class"]["count"] == [1, 2, 0, 0]


def test_images_without_labels_cannot_be_evaluated() -> None:
    with pytest.raises(ValueError, match="needs labels"):
        ClassificationEvaluator(2).update({"output": torch.ones(3, 2)}, Batch(torch.ones(3, 2), None, torch.arange(3)))


@pytest.mark.gpu
def test_evaluation_on_cuda_is_the_same_and_deterministic_algorithms_allow_it() -> None:
    logits, labels = MANY
    torch.use_deterministic_algorithms(True)
    try:
        found = evaluate(logits.cuda(), labels.cuda())
    finally:
        torch.use_deterministic_algorithms(False)
    assert found.metrics == pytest.approx(evaluate(logits, labels).metrics, rel=1e-5)
