"""What classification is judged by, from the logits and labels of a whole part."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import (
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

BINS = 15
"""Bins of the confidence, as Guo et al. 2017 (On Calibration of Modern Neural Networks) take them."""


def classification_metrics(logits: Tensor, labels: Tensor) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics, best known first, and details as JSON, of logits float32 (N, K) and labels int64 (N,), both on one
    device.

    ``details`` are ``confusion`` (K, K; truth by row), ``per_class`` (a list of K each for count, precision, recall and
    f1) and ``reliability`` (a list of 15 each for count, confidence and accuracy; the bins divide 0…1 evenly). The loss
    is plain cross-entropy, however it was trained.
    """
    classes = logits.shape[1]
    confusion = multiclass_confusion_matrix(logits, labels, num_classes=classes, validate_args=False).cpu()
    metrics = {"accuracy": confusion.trace().item() / len(labels)}
    if classes > 5:
        # (N, 5) → (N,)
        metrics["top5_accuracy"] = (logits.topk(5).indices == labels[:, None]).any(1).sum().item() / len(labels)
    bins = reliability(logits.cpu(), labels.cpu())
    metrics["macro_f1"] = multiclass_f1_score(
        logits, labels, num_classes=classes, average="macro", validate_args=False
    ).item()
    metrics["calibration_error"] = calibration_error(bins)
    metrics["loss"] = F.cross_entropy(logits, labels).item()
    scores = {"precision": multiclass_precision, "recall": multiclass_recall, "f1": multiclass_f1_score}
    per_class = {
        "count": confusion.sum(1).tolist(),
        **{
            name: score(logits, labels, num_classes=classes, average="none", validate_args=False).tolist()
            for name, score in scores.items()
        },
    }
    return metrics, {"confusion": confusion.tolist(), "per_class": per_class, "reliability": bins}


def reliability(logits: Tensor, labels: Tensor) -> dict[str, list[float]]:
    """Samples, mean confidence and accuracy by bin of the confidence (the largest probability), in float64; 0 where a
    bin is empty."""
    confidence, guess = logits.double().softmax(1).max(1)
    bins = (confidence * BINS).long().clamp(max=BINS - 1)
    count = torch.bincount(bins, minlength=BINS)
    sums = [torch.bincount(bins, weights=each, minlength=BINS) for each in (confidence, (guess == labels).double())]
    means = [(total / count.clamp(min=1)).tolist() for total in sums]
    return {"count": count.tolist(), "confidence": means[0], "accuracy": means[1]}


def calibration_error(bins: dict[str, list[float]]) -> float:
    """The expected calibration error: how far confidence and accuracy of a bin lie apart, on average over samples."""
    gaps = [
        count * abs(sure - right)
        for count, sure, right in zip(bins["count"], bins["confidence"], bins["accuracy"], strict=True)
    ]
    return sum(gaps) / sum(bins["count"])
