"""The classification task against plain formulas and scikit-learn: its loss, its options, its decision, its report."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_tasks.classification import Classification
from zoo_tasks.options import ClassificationOptions

from zoo.api import Batch, Classes, EvaluationResult, Loss, ReportItem, Softmax
from zoo.config.run_config import RunConfig
from zoo.errors import ConfigError, DataError, UsageError
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import registry
from zoo.reporting.html_page import inside
from zoo.runs.resolve_config import resolve
from zoo.training.evaluation import evaluate_part, write_predictions


class Fixed(nn.Module):
    """Gives back its inputs as logits."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Part:
    """A part whose inputs are logits."""

    def __init__(self, logits: Tensor, labels: Tensor | None, names: Sequence[str] = ()) -> None:
        self.logits, self.labels, self.names = logits, labels, names
        self.raw_images: Sequence[np.ndarray] = ()

    @property
    def targets(self) -> np.ndarray | None:
        return None if self.labels is None else self.labels.numpy()

    def __len__(self) -> int:
        return len(self.logits)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        for rows in torch.arange(len(self)).split(batch_size):
            yield Batch(self.logits[rows], None if self.labels is None else self.labels[rows], rows)

    def targets_of(self, indices: Iterable[int]) -> np.ndarray | None:
        return None if self.targets is None else self.targets[list(indices)]

    def images_of(self, indices: Sequence[int]) -> np.ndarray:
        chosen = list(indices)
        return (
            np.stack([np.full((4, 4, 1), 100 + index, np.uint8) for index in chosen])
            if chosen
            else np.zeros((0, 4, 4, 1), np.uint8)
        )


def made(count: int, classes: int, seed: int = 3, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits that are right more often than by chance, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    logits = scale * (torch.randn(count, classes, generator=generator) + F.one_hot(labels, classes))
    return logits, labels


def task_of(classes: Sequence[str], **options: object) -> Classification:
    """One that needs no statistics."""
    return Classification(ClassificationOptions.model_validate(options), Classes(names=tuple(classes)), {})


def evaluated(task: Classification, part: Part) -> EvaluationResult:
    return evaluate_part(Fixed(), task, task.decision(None), part, 10, OutputReader())


def mean(loss: Loss) -> torch.Tensor:
    """As the trainer takes it."""
    return loss.values.mean() if loss.weights is None else (loss.values * loss.weights).sum() / loss.weights.sum()


def test_the_loss_is_the_references_nll_of_a_log_softmax() -> None:
    logits, labels = made(57, 4)
    reference = nn.NLLLoss()(nn.LogSoftmax(1)(logits), labels)
    loss = task_of("abcd").loss({"output": logits}, Batch(logits, labels, labels))
    assert loss.weights is None
    torch.testing.assert_close(mean(loss), reference)


def test_a_sample_without_a_label_has_no_loss() -> None:
    with pytest.raises(ValueError, match="labelled"):
        task_of("ab").loss({"output": torch.ones(3, 2)}, Batch(torch.ones(3, 2), None, torch.arange(3)))


def test_without_labels_there_are_outputs_and_no_metrics() -> None:
    found = evaluated(task_of("ab"), Part(torch.ones(3, 2), None))
    assert (found.metrics, found.per_sample, found.details) == ({}, {}, {})
    assert found.outputs is not None and found.outputs.shape == (3, 2)


def test_the_decision_is_the_class_with_the_largest_probability_before_and_after_validation() -> None:
    task = task_of("abcd")
    found = evaluated(task, Part(*made(20, 4)))
    assert task.decision(None) == task.decision(found) == Softmax(classes=("a", "b", "c", "d"))
    assert task.num_outputs() == 4


# --------------------------------------------------------------------------------------- label smoothing, class weights


TRAIN = Part(torch.zeros(6, 3), torch.tensor([0, 0, 1, 0, 2, 1]))
"""Classes a (3 samples), b (2), c (1), and others none."""


def weighted(weights: object, classes: Sequence[str] = ("a", "b", "c"), smoothing: float = 0.0) -> Classification:
    """The task as a run makes it: its statistics are written as JSON and read again."""
    options = ClassificationOptions.model_validate({"label_smoothing": smoothing, "class_weights": weights})
    target = Classes(names=tuple(classes))
    statistics = Classification.statistics(options, target, TRAIN)
    return Classification(options, target, json.loads(json.dumps(statistics)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 3.0], "balanced"])
def test_the_loss_is_smoothed_and_weighted_as_in_its_formula(weights: object, smoothing: float) -> None:
    logits, labels = made(30, 3)
    w = np.array(
        {"None": [1.0, 1.0, 1.0], "balanced": [6 / (3 * 3), 6 / (3 * 2), 6 / (3 * 1)]}.get(str(weights), weights)
    )
    surprise = -logits.double().log_softmax(1).numpy()
    by_label, truth = np.arange(30), labels.numpy()
    total = ((1 - smoothing) * w[truth] * surprise[by_label, truth] + smoothing / 3 * (surprise * w).sum(1)).sum() / w[
        truth
    ].sum()
    found = mean(weighted(weights, smoothing=smoothing).loss({"output": logits}, Batch(logits, labels, labels)))
    assert found.item() == pytest.approx(total, rel=1e-5)
    torch.testing.assert_close(
        found, F.cross_entropy(logits, labels, torch.tensor(w).float(), label_smoothing=smoothing)
    )


def test_balanced_weights_are_scikit_learns() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=TRAIN.targets)
    found = weighted("balanced").stats["class_weights"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert torch.equal(torch.tensor(found), torch.from_numpy(expected).float())


@pytest.mark.parametrize("weights", [None, [0.1, 0.7, 3.0], "balanced"])
def test_statistics_are_the_weights_alone_and_survive_json_to_the_bit(weights: object) -> None:
    options = ClassificationOptions.model_validate({"class_weights": weights})
    target = Classes(names=("a", "b", "c"))
    statistics = Classification.statistics(options, target, TRAIN)
    assert list(statistics) == ([] if weights is None else ["class_weights"])
    assert json.loads(json.dumps(statistics)) == statistics
    if isinstance(weights, list):
        (constant,) = Classification(options, target, statistics).constants(torch.zeros(1), "class_weights")
        assert torch.equal(constant, torch.tensor(weights))


def test_labels_are_needed_to_balance_classes() -> None:
    options = ClassificationOptions(class_weights="balanced")
    with pytest.raises(DataError, match="the train split has none"):
        Classification.statistics(options, Classes(names=("a", "b")), Part(torch.zeros(2, 2), None))


def test_weights_and_smoothing_do_not_change_what_is_reported() -> None:
    logits, labels = made(57, 4)
    plain, other = (
        evaluated(task, Part(logits, labels)) for task in (task_of("abcd"), weighted([1, 2, 3, 9], "abcd", 0.2))
    )
    assert plain.metrics == other.metrics


def test_the_loss_of_low_precision_logits_is_computed_in_float32() -> None:
    logits, labels = made(30, 3)
    low = logits.bfloat16()
    loss = weighted([1.0, 2.0, 3.0]).loss({"output": low}, Batch(low, labels, labels))
    assert loss.values.dtype == torch.float32
    exact = weighted([1.0, 2.0, 3.0]).loss({"output": low.float()}, Batch(low, labels, labels))
    torch.testing.assert_close(mean(loss), mean(exact))


def test_a_class_without_samples_cannot_be_balanced_and_is_named() -> None:
    with pytest.raises(
        DataError,
        match=(
            r"no training sample has the class 'd', 'e', which cannot be balanced \(task.class_weights\); fix: add "
            r"images"
        ),
    ):
        weighted("balanced", "abcde")


def test_a_wrong_number_of_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="there are 2 weights for 3 classes"):
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
def test_options_are_checked(options: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(registry(), "cnn_digits", overrides={"task": options})
    assert problem in str(caught.value)


def test_options_reach_the_configuration() -> None:
    config: RunConfig = resolve(
        registry(), "cnn_digits", overrides={"task": {"label_smoothing": 0.1, "class_weights": [1, 2, 3]}}
    ).config
    assert config.task.options == {"label_smoothing": 0.1, "class_weights": [1.0, 2.0, 3.0]}


# --------------------------------------------------------------------------------------------------------------- report


CLASSES = ("$x$ cat", "dog")
NAMES = ("a.png", "b,c.png", "<b>.png")


def reported(labels: list[int] | None, directory: Path) -> list[ReportItem]:
    """What the task shows, beside the table of predictions that zoo writes for every task."""
    outputs = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, -1.0]])
    part = Part(outputs, None if labels is None else torch.tensor(labels), NAMES)
    task = task_of(CLASSES)
    result = evaluated(task, part)
    write_predictions(directory / "predictions.csv", result, part, task.target, task.decision(result))
    return task.report(result, part, directory)


def table(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize("labels", [None, [0, 1, 1]])
def test_the_report_writes_predictions_in_order_and_images_where_there_are_truths(
    tmp_path: Path, labels: list[int] | None
) -> None:
    shown = reported(labels, tmp_path)
    rows = table(tmp_path / "predictions.csv")
    assert [row["sample"] for row in rows] == list(NAMES)
    assert [row["prediction"] for row in rows] == ["$x$ cat", "dog", "$x$ cat"]
    assert float(rows[0]["p(dog)"]) == pytest.approx(1 / (1 + np.exp(2)), abs=1e-6)
    if labels is None:
        rows = table(tmp_path / "predicted.csv")
        assert [(row["id"], row["class"]) for row in rows] == list(
            zip(NAMES, ["$x$ cat", "dog", "$x$ cat"], strict=True)
        )
        assert float(rows[1]["probability"]) > 0.5
    drawn = {path.name for path in tmp_path.glob("plots/*.png")}
    assert drawn == (
        {"predicted.png"} if labels is None else {"confusion.png", "calibration.png", "predictions.png", "mistakes.png"}
    )
    assert all(isinstance(each, ReportItem) and inside(tmp_path, each.file) for each in shown)
    assert [each.title for each in shown] == (
        ["Images without labels"]
        if labels is None
        else ["Confusion matrix", "Classes", "Calibration", "Predictions", "Mistakes"]
    )


def test_the_table_of_classes_and_of_mistakes(tmp_path: Path) -> None:
    reported([0, 1, 1], tmp_path)
    assert table(tmp_path / "per_class.csv") == [
        {"class": "$x$ cat", "count": "1", "precision": "0.5000", "recall": "1.0000", "f1": "0.6667"},
        {"class": "dog", "count": "2", "precision": "1.0000", "recall": "0.5000", "f1": "0.6667"},
    ]
    (mistake,) = table(tmp_path / "mistakes.csv")
    probability = f"{1 / (1 + np.exp(-4)):.4f}"
    assert mistake == {
        "image": "plots/mistakes/00.png", "sample": "<b>.png", "truth": "dog", "prediction": "$x$ cat",
        "probability": probability
    }  # fmt: skip
    with Image.open(tmp_path / mistake["image"]) as drawn:
        shown = np.asarray(drawn)
    assert shown.tolist() == [[102] * 4] * 4


def test_a_network_without_mistakes_says_so(tmp_path: Path) -> None:
    *_, mistakes = reported([0, 1, 0], tmp_path)
    assert (
        mistakes.caption == "The most confident wrong predictions (0 of 3 predictions are wrong)."
        and table(tmp_path / "mistakes.csv") == []
    )


def test_an_evaluation_without_outputs_shows_nothing(tmp_path: Path) -> None:
    """They are left out where they are too large to keep."""
    part = Part(*made(20, 3), [str(index) for index in range(20)])
    result = evaluated(task_of("abc"), part)
    assert task_of("abc").report(EvaluationResult(result.metrics, details=result.details), part, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_evaluation_stays_what_the_contract_says() -> None:
    found = evaluated(task_of("abc"), Part(*made(20, 3)))
    assert isinstance(found, EvaluationResult)
    assert found.outputs is not None and found.outputs.dtype == np.float32
    assert all(isinstance(value, float) for value in found.metrics.values())
    assert json.loads(json.dumps(found.details)) == found.details
