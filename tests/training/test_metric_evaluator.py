"""An evaluator of torchmetrics against scikit-learn, in batches of any size, and merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
import torchmetrics
from torch import Tensor
from torchmetrics import classification as tm

from zoo.api import Affine, Batch, Decision, PixelArgmax, Sigmoid, Softmax
from zoo.errors import PluginError
from zoo.training.metric_evaluator import MetricEvaluator

SAMPLES, NAMES = 40, ("a", "b", "c")
Figures = Mapping[str, float]


def softmax(outputs: np.ndarray) -> np.ndarray:
    exponentials = np.exp(outputs - outputs.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)  # type: ignore[no-any-return]


def of_classes(outputs: np.ndarray, targets: np.ndarray) -> Figures:
    probabilities = softmax(outputs / 3)
    return {
        "accuracy": sk.accuracy_score(targets, probabilities.argmax(1)),
        "auroc": sk.roc_auc_score(targets, probabilities, multi_class="ovr"),
        "f1": sk.f1_score(targets, probabilities.argmax(1), average="macro"),
    }


def of_labels(outputs: np.ndarray, targets: np.ndarray) -> Figures:
    probabilities = 1 / (1 + np.exp(-outputs))
    return {
        "map": sk.average_precision_score(targets, probabilities, average="macro"),
        "f1": sk.f1_score(targets, probabilities >= 0.5, average="macro"),
    }


def of_values(outputs: np.ndarray, targets: np.ndarray) -> Figures:
    values = outputs * np.array([2.0, 3.0, 0.5]) + np.array([1.0, 0.0, -1.0])
    return {
        "mse": sk.mean_squared_error(targets, values),
        "mae": sk.mean_absolute_error(targets, values),
        "worst": np.abs(targets - values).max(),
    }


def of_pixels(outputs: np.ndarray, targets: np.ndarray) -> Figures:
    guess = outputs.argmax(1)
    return {"iou": sk.jaccard_score(targets.ravel(), guess.ravel(), average="macro")}


class Worst(torchmetrics.Metric):
    """A metric of a third party: the largest error."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("largest", torch.tensor(0.0), dist_reduce_fx="max")
        self.largest: Tensor

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        self.largest = torch.maximum(self.largest, (predictions - targets).abs().max())

    def compute(self) -> Tensor:
        return self.largest


CASES: dict[str, tuple[Decision, Mapping[str, Any], Callable[[np.ndarray, np.ndarray], Figures]]] = {
    "classes": (
        Softmax(classes=NAMES, temperature=3.0),
        {
            "accuracy": partial(tm.MulticlassAccuracy, 3, average="micro"),
            "auroc": partial(tm.MulticlassAUROC, 3),
            "f1": partial(tm.MulticlassF1Score, 3),
        },
        of_classes,
    ),
    "multi_label": (
        Sigmoid(classes=NAMES, thresholds=(0.5, 0.5, 0.5)),
        {"map": partial(tm.MultilabelAveragePrecision, 3), "f1": partial(tm.MultilabelF1Score, 3)},
        of_labels,
    ),
    "values": (
        Affine(names=NAMES, scale=(2.0, 3.0, 0.5), offset=(1.0, 0.0, -1.0)),
        {"mse": "MeanSquaredError", "mae": "MeanAbsoluteError", "worst": Worst},
        of_values,
    ),
    "mask": (PixelArgmax(classes=NAMES), {"iou": partial(tm.MulticlassJaccardIndex, 3)}, of_pixels),
}


def samples(kind: str) -> tuple[Tensor, Tensor]:
    """Outputs and targets of one kind."""
    random = np.random.RandomState(0)
    shape = (SAMPLES, 3, 5, 7) if kind == "mask" else (SAMPLES, 3)
    outputs = random.randn(*shape).astype(np.float32)
    targets = {
        "classes": random.randint(0, 3, SAMPLES),
        "multi_label": random.randint(0, 2, (SAMPLES, 3)).astype(np.uint8),
        "values": random.randn(SAMPLES, 3).astype(np.float32),
        "mask": random.randint(0, 3, (SAMPLES, 5, 7)).astype(np.uint8),
    }[kind]
    return torch.from_numpy(outputs), torch.from_numpy(targets)


def seen(evaluator: MetricEvaluator, outputs: Tensor, targets: Tensor, size: int) -> MetricEvaluator:
    for start in range(0, len(outputs), size):
        rows = slice(start, start + size)
        batch = Batch(torch.zeros(len(outputs[rows]), 1), targets[rows], torch.arange(SAMPLES)[rows])
        evaluator.update({"output": outputs[rows], "features": torch.zeros(1)}, batch)
    return evaluator


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("kind", CASES)
def test_figures_are_those_of_scikit_learn_over_what_is_decided(kind: str, size: int) -> None:
    decision, metrics, independent = CASES[kind]
    outputs, targets = samples(kind)
    found = seen(MetricEvaluator(decision, metrics), outputs, targets, size).compute()
    assert list(found.metrics) == list(metrics)
    assert found.metrics == pytest.approx(independent(outputs.numpy(), targets.numpy()), rel=1e-5)
    assert found.per_sample == {}


@pytest.mark.parametrize("cut", [0, 1, 17, SAMPLES])
@pytest.mark.parametrize("kind", CASES)
def test_merged_evaluators_give_the_figures_and_the_columns_of_the_whole(kind: str, cut: int) -> None:
    decision, metrics, independent = CASES[kind]
    outputs, targets = samples(kind)

    def columns(values: np.ndarray, truths: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"value": values.reshape(len(values), -1)[:, 0], "truth": truths.reshape(len(truths), -1)[:, 0]}

    first, second, whole = (MetricEvaluator(decision, metrics, columns) for _ in range(3))
    seen(first, outputs[:cut], targets[:cut], 7)
    seen(second, outputs[cut:], targets[cut:], 5)
    first.merge(second)
    expected = seen(whole, outputs, targets, 1000).compute()
    found = first.compute()
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-5)
    assert found.metrics == pytest.approx(independent(outputs.numpy(), targets.numpy()), rel=1e-5)
    assert {name: column.tolist() for name, column in found.per_sample.items()} == {
        name: column.tolist() for name, column in expected.per_sample.items()
    }
    assert len(found.per_sample["value"]) == SAMPLES


def test_a_metric_that_torchmetrics_cannot_merge_is_named() -> None:
    metrics = {"correlation": "PearsonCorrCoef"}
    decision = Affine(names=("x",), scale=(1.0,), offset=(0.0,))
    values = torch.arange(6.0)[:, None]
    one, other = (seen(MetricEvaluator(decision, metrics), values, values, 6) for _ in range(2))
    with pytest.raises(PluginError, match=r"metric 'correlation' cannot be merged: .*full_state_update") as caught:
        one.merge(other)
    assert "\n" not in str(caught.value)


def test_a_metric_that_torchmetrics_does_not_have_is_named() -> None:
    with pytest.raises(PluginError, match="metric 'accuracy': torchmetrics has no class 'Acuracy'"):
        MetricEvaluator(Softmax(classes=NAMES), {"accuracy": "Acuracy"})


def test_each_evaluator_has_metrics_of_its_own() -> None:
    decision, metrics, _ = CASES["classes"]
    outputs, targets = samples("classes")
    seen(MetricEvaluator(decision, metrics), outputs, 1 - targets.clamp(max=1), 7)
    again = seen(MetricEvaluator(decision, metrics), outputs, targets, 7).compute()
    assert again.metrics == pytest.approx(of_classes(outputs.numpy(), targets.numpy()), rel=1e-5)


def test_samples_without_targets_are_refused() -> None:
    evaluator = MetricEvaluator(Softmax(classes=NAMES), {})
    with pytest.raises(ValueError, match="targets"):
        evaluator.update({"output": torch.zeros(1, 3)}, Batch(torch.zeros(1, 1), None, torch.arange(1)))
