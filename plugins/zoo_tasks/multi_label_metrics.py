"""The metrics of multi-label classification, computed batch by batch."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from zoo.api import MAIN_OUTPUT, Batch, EvaluationResult, Evaluator, Outputs, Sigmoid
from zoo.plugin import decide
from zoo_tasks.intervals import bootstrap

UNFITTED = 0.5
"""The threshold of a label before a validation split has given one."""


class MultiLabelEvaluator(Evaluator):
    """Mean average precision, micro and macro F1, and binary cross-entropy, of logits float32 (N, K) and labels uint8
    (N, K).

    ``map`` is the mean of the average precisions of the labels that some image has, as a macro average. F1 is that of
    the decision's thresholds; the F1 of a label that is neither present nor predicted is 0.
    """

    def __init__(self, decision: Sigmoid) -> None:
        self._thresholds = np.asarray(decision.thresholds)
        self._decision = decision
        self._probabilities: list[np.ndarray] = []
        self._truths: list[np.ndarray] = []
        self._losses: list[np.ndarray] = []

    def update(self, outputs: Outputs, batch: Batch) -> None:
        if batch.targets is None:
            raise ValueError("the evaluation of multi-label classification needs labels")
        truth = batch.targets.cpu().numpy().astype(bool)
        logits = outputs[MAIN_OUTPUT].cpu().double().numpy()
        self._probabilities.append(decide(outputs[MAIN_OUTPUT], self._decision))
        self._truths.append(truth)
        # binary cross-entropy from logits, which cannot overflow: max(x, 0) - x·y + log(1 + exp(-|x|))
        losses = np.maximum(logits, 0) - logits * truth + np.log1p(np.exp(-np.abs(logits)))
        self._losses.append(losses.mean(1))

    def merge(self, other: Self) -> None:
        self._probabilities += other._probabilities
        self._truths += other._truths
        self._losses += other._losses

    def intervals(self) -> dict[str, tuple[float, float]]:
        """The bootstrap interval of the mean average precision."""
        probabilities, truths = np.concatenate(self._probabilities), np.concatenate(self._truths)
        columns = [pair for pair in zip(truths.T, probabilities.T, strict=True) if pair[0].any()]

        def mean(counts: np.ndarray) -> np.ndarray:
            found = np.array([average_precisions(*pair, counts) for pair in columns])  # (K, B)
            known = ~np.isnan(found)
            return np.asarray(np.where(known, found, 0).sum(0) / np.maximum(known.sum(0), 1))

        return {"map": bootstrap(len(truths), mean)} if columns else {}

    def compute(self) -> EvaluationResult:
        """``details`` are ``per_label`` (a list of K each for count, average_precision, precision, recall, f1 and
        threshold; the average precision of a label on no image is None) and ``best_thresholds``, those with the best F1
        of each label on this split."""
        probabilities, truths = np.concatenate(self._probabilities), np.concatenate(self._truths)
        losses, predicted = np.concatenate(self._losses), np.concatenate(self._probabilities) >= self._thresholds
        precisions = [average_precision(*columns) for columns in zip(truths.T, probabilities.T, strict=True)]
        known = [each for each in precisions if each is not None]
        hits, taken, there = (truths & predicted).sum(0), predicted.sum(0), truths.sum(0)
        f1 = ratio(2 * hits, taken + there)
        metrics = {
            "map": float(np.mean(known)) if known else 0.0,
            "micro_f1": float(ratio(2 * hits.sum(), (taken + there).sum())),
            "macro_f1": float(f1.mean()),
            "loss": float(losses.mean()),
        }
        details: dict[str, Any] = {
            "per_label": {
                "count": there.tolist(),
                "average_precision": precisions,
                "precision": ratio(hits, taken).tolist(),
                "recall": ratio(hits, there).tolist(),
                "f1": f1.tolist(),
                "threshold": self._thresholds.tolist(),
            },
            "best_thresholds": [best_threshold(*each) for each in zip(truths.T, probabilities.T, strict=True)],
        }
        per_sample = {
            "labels": truths.sum(1),
            "predicted_labels": predicted.sum(1),
            "wrong_labels": (truths != predicted).sum(1),
            "loss": losses,
        }
        return EvaluationResult(metrics, per_sample, details)


def ratio(part: Any, whole: Any) -> np.ndarray:
    """float64; 0 where there is nothing to divide by."""
    return np.where(np.asarray(whole) > 0, part / np.maximum(whole, 1), 0.0)


def precision_recall(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and score at each distinct score, from the highest down, float64 (n,).

    ``truth`` is bool (N,), with at least one True; ``scores`` are float64 (N,). Samples of equal score are predicted
    together.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hits = scores[order], np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)
    return hits[last] / (last + 1), hits[last] / hits[-1], sorted_scores[last]


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float | None:
    """Return Σ (Rₙ - Rₙ₋₁) · Pₙ over the distinct scores, without interpolation; None if no sample is positive."""
    if not truth.any():
        return None
    precision, recall, _ = precision_recall(truth, scores)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def average_precisions(truth: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the average precision of each bootstrap sample, float64 (B,), with `counts` int64 (B, N) of the samples;
    NaN if none of its samples is positive."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    drawn = counts[:, order]
    hits, taken = (np.cumsum(each, 1)[:, last] for each in (drawn * truth[order], drawn))
    positives = hits[:, -1:]
    found = (np.diff(hits, axis=1, prepend=0) * hits / np.maximum(taken, 1)).sum(1)
    return np.where(positives[:, 0] > 0, found / np.maximum(positives[:, 0], 1), np.nan)


def best_threshold(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the threshold with the best F1; of several, the one closest to 0.5. 0.5 if no sample is positive.

    It lies in the middle between two probabilities, so that rounding errors of an exported model do not matter.
    """
    if not truth.any():
        return UNFITTED
    precision, recall, scores = precision_recall(truth, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    middles = (scores + np.append(scores[1:], 0.0)) / 2
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(middles[best[np.argmin(np.abs(middles[best] - UNFITTED))]])
