"""The metrics of classification, computed batch by batch."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.api import MAIN_OUTPUT, Batch, EvaluationResult, Evaluator, Outputs
from zoo_tasks.intervals import wilson

BINS = 15
"""Bins of the confidence, as Guo et al. 2017 (On Calibration of Modern Neural Networks) take them."""
TOP = 5


class ClassificationEvaluator(Evaluator):
    """Accuracy, macro F1, calibration error and loss, of logits float32 (N, K) and labels int64 (N,).

    A few numbers of each sample are kept. The loss is plain cross-entropy, however it was trained.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._confusion = torch.zeros(classes, classes, dtype=torch.int64)
        self._in_top = 0
        self._columns: dict[str, list[Tensor]] = {"prediction": [], "confidence": [], "correct": [], "loss": []}

    def update(self, outputs: Outputs, batch: Batch) -> None:
        logits, labels = outputs[MAIN_OUTPUT], batch.targets
        if labels is None:
            raise ValueError("the evaluation of classification needs labels")
        confidence, guess = logits.cpu().double().softmax(1).max(1)
        truth = labels.cpu()
        cells = torch.bincount(truth * self._classes + guess, minlength=self._classes**2)
        self._confusion += cells.view(self._classes, self._classes)
        if self._classes > TOP:
            # (B, 5) → (B,)
            self._in_top += int((logits.topk(TOP).indices == labels[:, None]).any(1).sum())
        losses = F.cross_entropy(logits, labels, reduction="none").cpu()
        for name, column in zip(self._columns, (guess, confidence, guess == truth, losses), strict=True):
            self._columns[name].append(column)

    def merge(self, other: Self) -> None:
        self._confusion += other._confusion
        self._in_top += other._in_top
        for name, column in self._columns.items():
            column.extend(other._columns[name])

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Wilson's interval of the accuracy."""
        correct = torch.cat(self._columns["correct"]).double()
        return {"accuracy": wilson(correct.mean().item(), len(correct))}

    def compute(self) -> EvaluationResult:
        """``details`` are ``confusion`` (K, K; truth by row), ``per_class`` (a list of K each for count, precision,
        recall and f1) and ``reliability`` (a list of 15 each for count, confidence and accuracy; the bins divide 0…1
        evenly)."""
        columns = {name: torch.cat(column) for name, column in self._columns.items()}
        samples = len(columns["loss"])
        bins = reliability(columns["confidence"], columns["correct"])
        per_class = scores(self._confusion)
        metrics = {"accuracy": self._confusion.trace().item() / samples}
        if self._classes > TOP:
            metrics["top5_accuracy"] = self._in_top / samples
        metrics["macro_f1"] = macro(self._confusion, per_class["f1"])
        metrics["calibration_error"] = calibration_error(bins)
        metrics["loss"] = columns["loss"].mean().item()
        details: dict[str, Any] = {"confusion": self._confusion.tolist(), "per_class": per_class, "reliability": bins}
        per_sample: dict[str, np.ndarray] = {name: column.numpy() for name, column in columns.items()}
        return EvaluationResult(metrics, per_sample, details)


def scores(confusion: Tensor) -> dict[str, list[float]]:
    """Samples, precision, recall and F1 of each class, of a confusion matrix with the truth by row; 0 where there is
    nothing to divide by."""
    right, taken, there = confusion.diagonal().float(), confusion.sum(0).float(), confusion.sum(1).float()
    found = {
        "precision": _ratio(right, taken),
        "recall": _ratio(right, there),
        "f1": _ratio(2 * right, taken + there),
    }
    return {"count": confusion.sum(1).tolist(), **{name: column.tolist() for name, column in found.items()}}


def macro(confusion: Tensor, f1: list[float]) -> float:
    """The mean F1 of the classes that there are samples or predictions of."""
    counted = ((confusion.sum(0) + confusion.sum(1)) > 0).float()
    return (counted * torch.tensor(f1) / counted.sum()).sum().item()  # in the order of torchmetrics, to the last bit


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole.clamp_min(1), torch.zeros_like(part))


def reliability(confidence: Tensor, correct: Tensor) -> dict[str, list[float]]:
    """Samples, mean confidence and accuracy by bin of the confidence (the largest probability), float64 (N,), given
    which predictions are correct, bool (N,); 0 where a bin is empty."""
    bins = (confidence * BINS).long().clamp(max=BINS - 1)
    count = torch.bincount(bins, minlength=BINS)
    sums = [torch.bincount(bins, weights=each, minlength=BINS) for each in (confidence, correct.double())]
    means = [(each / count.clamp(min=1)).tolist() for each in sums]
    return {"count": count.tolist(), "confidence": means[0], "accuracy": means[1]}


def calibration_error(bins: dict[str, list[float]]) -> float:
    """The expected calibration error: how far confidence and accuracy of a bin lie apart, on average over samples."""
    gaps = [
        count * abs(sure - right)
        for count, sure, right in zip(bins["count"], bins["confidence"], bins["accuracy"], strict=True)
    ]
    return sum(gaps) / sum(bins["count"])
