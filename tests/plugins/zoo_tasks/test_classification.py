"""The classification task against scikit-learn, torchmetrics and plain formulas."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error
from zoo_tasks.classification import build
from zoo_tasks.metrics import classification_metrics

from zoo.api import Batch, Evaluation, Loss, ReportItem
from zoo.config.run_config import RunConfig
from zoo.errors import ConfigError, DataError, UsageError
from zoo.registry.lookup import registry
from zoo.reporting.html_page import inside
from zoo.runs.resolve_config import resolve


class Fixed(nn.Module):
    """Gives back its inputs as logits."""

    def forward(self, x):
        return x


def made(count: int, classes: int, seed: int = 3, scale: float = 2.0):
    """Logits that are right more often than by chance, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    logits = scale * (torch.randn(count, classes, generator=generator) + F.one_hot(labels, classes))
    return logits, labels


def batches(logits, labels):
    return [
        Batch(x, y, i)
        for x, y, i in zip(logits.split(10), labels.split(10), torch.arange(len(labels)).split(10), strict=True)
    ]


@pytest.fixture(params=[(57, 4), (400, 12)], ids=["few", "many"])
def judged(request):
    logits, labels = made(*request.param)
    return (
        logits,
        labels,
        build().evaluate(Fixed(), batches(logits, labels), [str(index) for index in range(request.param[1])]),
    )


def test_metrics_agree_with_scikit_learn(judged) -> None:
    logits, labels, found = judged
    classes = range(logits.shape[1])
    probabilities = logits.double().softmax(1).numpy()
    assert found.metrics["accuracy"] == accuracy_score(labels, logits.argmax(1))
    assert found.metrics["loss"] == pytest.approx(log_loss(labels, probabilities, labels=classes), rel=1e-5)
    assert found.metrics["macro_f1"] == pytest.approx(f1_score(labels, logits.argmax(1), average="macro"), rel=1e-5)
    assert found.details["confusion"] == confusion_matrix(labels, logits.argmax(1), labels=classes).tolist()
    if logits.shape[1] > 5:
        assert found.metrics["top5_accuracy"] == pytest.approx(
            top_k_accuracy_score(labels, probabilities, k=5, labels=classes)
        )
    assert list(found.metrics) == [
        "accuracy",
        *(["top5_accuracy"] if logits.shape[1] > 5 else []),
        "macro_f1",
        "calibration_error",
        "loss",
    ]


def test_figures_by_class_agree_with_scikit_learn(judged) -> None:
    logits, labels, found = judged
    expected = precision_recall_fscore_support(labels, logits.argmax(1), labels=range(logits.shape[1]), zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "count"), expected, strict=True):
        np.testing.assert_allclose(found.details["per_class"][name], values, rtol=1e-5)


def test_the_calibration_error_is_torchmetrics_and_numpys(judged) -> None:
    logits, labels, found = judged
    assert found.metrics["calibration_error"] == pytest.approx(
        multiclass_calibration_error(logits.softmax(1), labels, num_classes=logits.shape[1], n_bins=15).item(), abs=1e-6
    )
    probabilities = logits.double().softmax(1).numpy()
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels.numpy()
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


def test_a_network_that_is_wholly_sure_is_calibrated_by_its_accuracy() -> None:
    logits = torch.eye(3)[[0, 1, 2, 0]] * 1e4
    metrics, details = classification_metrics(logits, torch.tensor([0, 1, 2, 2]))
    assert metrics["calibration_error"] == pytest.approx(0.25) and details["reliability"]["count"] == [*[0] * 14, 4]


@pytest.mark.gpu
def test_judging_on_cuda_is_the_same_and_deterministic_algorithms_allow_it() -> None:
    logits, labels = made(400, 12)
    torch.use_deterministic_algorithms(True)
    try:
        found, _ = classification_metrics(logits.cuda(), labels.cuda())
    finally:
        torch.use_deterministic_algorithms(False)
    assert found == pytest.approx(classification_metrics(logits, labels)[0], rel=1e-5)


def test_a_class_that_is_absent_from_labels_and_predictions_does_not_lower_macro_f1() -> None:
    logits = torch.eye(4)[[0, 1, 1]]
    metrics, details = classification_metrics(logits, torch.tensor([0, 1, 1]))
    assert metrics["macro_f1"] == 1.0 and details["per_class"]["count"] == [1, 2, 0, 0]


def mean(loss: Loss) -> torch.Tensor:
    """As the trainer takes it."""
    return loss.values.mean() if loss.weights is None else (loss.values * loss.weights).sum() / loss.weights.sum()


def test_the_loss_is_the_references_nll_of_a_log_softmax() -> None:
    logits, labels = made(57, 4)
    reference = nn.NLLLoss()(nn.LogSoftmax(1)(logits), labels)
    torch.testing.assert_close(mean(build().loss(logits, Batch(logits, labels, labels))), reference)


def test_without_labels_there_are_outputs_and_no_metrics() -> None:
    found = build().evaluate(Fixed(), [Batch(torch.ones(3, 2), None, torch.arange(3))], "ab")
    assert found.metrics == {}
    assert found.labels is None
    assert found.outputs.shape == (3, 2)


# --------------------------------------------------------------------------------------- label smoothing, class weights


class View:
    """A part of six labels, and a data view of it: classes a (3 samples), b (2), c (1), and d, which has none unless it
    is left out."""

    labels = np.array([0, 0, 1, 0, 2, 1])

    def __init__(self, classes):
        self.classes, self.parts = classes, {"train": self}


def weighted(weights, classes=("a", "b", "c"), smoothing=0.0):
    task = build(smoothing, weights)
    task.prepare(nn.Identity(), View(classes))
    return task


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 3.0], "balanced"])
def test_the_loss_is_smoothed_and_weighted_as_in_its_formula(weights, smoothing) -> None:
    logits, labels = made(30, 3)
    w = np.array(
        {"None": [1.0, 1.0, 1.0], "balanced": [6 / (3 * 3), 6 / (3 * 2), 6 / (3 * 1)]}.get(str(weights), weights)
    )
    surprise = -logits.double().log_softmax(1).numpy()
    by_label, truth = np.arange(30), labels.numpy()
    total = ((1 - smoothing) * w[truth] * surprise[by_label, truth] + smoothing / 3 * (surprise * w).sum(1)).sum() / w[
        truth
    ].sum()
    found = mean(weighted(weights, smoothing=smoothing).loss(logits, Batch(logits, labels, labels)))
    assert found.item() == pytest.approx(total, rel=1e-5)
    torch.testing.assert_close(
        found, F.cross_entropy(logits, labels, torch.tensor(w).float(), label_smoothing=smoothing)
    )


def test_balanced_weights_are_scikit_learns() -> None:
    task = weighted("balanced")
    np.testing.assert_allclose(
        task.class_weights, compute_class_weight("balanced", classes=np.arange(3), y=View.labels), rtol=1e-6
    )


def test_weights_and_smoothing_do_not_change_what_is_reported() -> None:
    logits, labels = made(57, 4)
    plain, other = (
        task.evaluate(Fixed(), batches(logits, labels), "abcd")
        for task in (build(), weighted([1, 2, 3, 9], "abcd", 0.2))
    )
    assert plain.metrics == other.metrics


def test_the_loss_of_low_precision_logits_is_computed_in_float32() -> None:
    logits, labels = made(30, 3)
    low = logits.bfloat16()
    loss = weighted([1.0, 2.0, 3.0]).loss(low, Batch(low, labels, labels))
    assert loss.values.dtype == torch.float32
    torch.testing.assert_close(
        mean(loss), mean(weighted([1.0, 2.0, 3.0]).loss(low.float(), Batch(low, labels, labels)))
    )


def test_a_class_without_samples_cannot_be_balanced_and_is_named() -> None:
    with pytest.raises(
        DataError,
        match=(
            r"no training sample has the class 'd', 'e', which cannot be balanced \(task.class_weights\); fix: add "
            r"pictures"
        ),
    ):
        weighted("balanced", "abcde")


def test_a_wrong_number_of_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="2 weights are given for 3 classes"):
        weighted([1.0, 2.0])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"label_smoothing": 1.0}, "task.label_smoothing: must be less than 1"),
        ({"label_smoothing": -0.1}, "task.label_smoothing: must be greater than or equal to 0"),
        ({"class_weights": "balance"}, "task.class_weights: must be 'balanced' or a valid list"),
        ({"class_weights": [1.0, 0.0]}, "must be greater than 0"),
        ({"smoothing": 0.1}, "task.smoothing: unknown key; fix: did you mean label_smoothing?"),
    ],
)
def test_options_are_checked(options, problem) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(registry(), "cnn_digits", overrides={"task": options})
    assert problem in str(caught.value)


def test_options_reach_the_configuration() -> None:
    config: RunConfig = resolve(
        registry(), "cnn_digits", overrides={"task": {"label_smoothing": 0.1, "class_weights": [1, 2, 3]}}
    ).config
    assert config.task.options == {"label_smoothing": 0.1, "class_weights": [1.0, 2.0, 3.0]}


# --------------------------------------------------------------------------------------------------------------- report


class Part:
    names = ("a.png", "b,c.png", "<b>.png")

    def __len__(self):
        return 3

    def pictures(self, indices):
        chosen = list(indices)
        return (
            np.stack([np.full((4, 4, 1), 100 + index, np.uint8) for index in chosen])
            if chosen
            else np.zeros((0, 4, 4, 1), np.uint8)
        )


CLASSES = ["$x$ cat", "dog"]


def reported(labels, directory):
    outputs = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, -1.0]])
    truths = None if labels is None else torch.tensor(labels)
    evaluation = build().evaluate(Fixed(), [Batch(outputs, truths, torch.arange(3))], CLASSES)
    return build().report(evaluation, Part(), CLASSES, directory)


def table(file):
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize("labels", [None, [0, 1, 1]])
def test_the_report_writes_predictions_in_order_and_pictures_where_there_are_truths(tmp_path, labels) -> None:
    shown = reported(labels, tmp_path)
    rows = table(tmp_path / "predictions.csv")
    assert [row["sample"] for row in rows] == list(Part.names)
    assert [row["prediction"] for row in rows] == ["$x$ cat", "dog", "$x$ cat"]
    assert float(rows[0]["p(dog)"]) == pytest.approx(1 / (1 + np.exp(2)), abs=1e-6)
    if labels is None:
        rows = table(tmp_path / "predicted.csv")
        assert [(row["id"], row["class"]) for row in rows] == list(
            zip(Part.names, ["$x$ cat", "dog", "$x$ cat"], strict=True)
        )
        assert float(rows[1]["probability"]) > 0.5
    drawn = {path.name for path in tmp_path.glob("plots/*.png")}
    assert drawn == (
        {"predicted.png"} if labels is None else {"confusion.png", "calibration.png", "predictions.png", "mistakes.png"}
    )
    assert all(isinstance(each, ReportItem) and inside(tmp_path, each.file) for each in shown)
    assert [each.title for each in shown] == (
        ["Pictures without labels"]
        if labels is None
        else ["Confusion", "Classes", "Calibration", "Predictions", "Mistakes"]
    )


def test_the_table_of_classes_and_of_mistakes(tmp_path) -> None:
    reported([0, 1, 1], tmp_path)
    assert table(tmp_path / "per_class.csv") == [
        {"class": "$x$ cat", "count": "1", "precision": "0.5000", "recall": "1.0000", "f1": "0.6667"},
        {"class": "dog", "count": "2", "precision": "1.0000", "recall": "0.5000", "f1": "0.6667"},
    ]
    (mistake,) = table(tmp_path / "mistakes.csv")
    probability = f"{1 / (1 + np.exp(-4)):.4f}"
    assert mistake == {
        "picture": "plots/mistakes/00.png", "sample": "<b>.png", "truth": "dog", "prediction": "$x$ cat",
        "probability": probability
    }  # fmt: skip
    with Image.open(tmp_path / mistake["picture"]) as drawn:
        shown = np.asarray(drawn)
    assert shown.tolist() == [[102] * 4] * 4


def test_a_network_without_mistakes_says_so(tmp_path) -> None:
    *_, mistakes = reported([0, 1, 0], tmp_path)
    assert mistakes.caption == "The most confident of 0 mistakes in 3." and table(tmp_path / "mistakes.csv") == []


def test_evaluation_stays_what_the_protocol_says() -> None:
    logits, labels = made(20, 3)
    found = build().evaluate(Fixed(), batches(logits, labels), "abc")
    assert isinstance(found, Evaluation) and found.outputs.dtype == np.float32 and found.labels.dtype == np.int64
