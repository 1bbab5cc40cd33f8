"""The metrics of regression, computed batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from torch import Tensor

from zoo.api import MAIN_OUTPUT, Batch, Decision, EvaluationResult, Evaluator, Outputs
from zoo.plugin import decide
from zoo_tasks.intervals import mean_interval

Losses = Callable[[Tensor, Tensor], Tensor]
"""The training loss of each number, (B, D), of outputs and targets."""


class RegressionEvaluator(Evaluator):
    """Mean absolute error, root mean squared error, R², Spearman's rank correlation and the training loss, of outputs
    (N, D) and numbers float32 (N, D).

    Errors are in units. With several numbers, each metric is the mean over them, and ``details`` has those of each. R²
    and the rank correlation are 0 where they are not defined (a number that is the same for all samples).
    """

    def __init__(self, decision: Decision, names: Sequence[str], losses: Losses, quantile: float | None = None) -> None:
        self._decision, self._names, self._loss, self._quantile = decision, names, losses, quantile
        self._predictions: list[np.ndarray] = []
        self._truths: list[np.ndarray] = []
        self._losses: list[np.ndarray] = []

    def update(self, outputs: Outputs, batch: Batch) -> None:
        if batch.targets is None:
            raise ValueError("the evaluation of regression needs numbers")
        self._predictions.append(decide(outputs[MAIN_OUTPUT], self._decision))
        self._truths.append(batch.targets.cpu().double().numpy())
        self._losses.append(self._loss(outputs[MAIN_OUTPUT], batch.targets).mean(1).cpu().double().numpy())

    def merge(self, other: Self) -> None:
        self._predictions += other._predictions
        self._truths += other._truths
        self._losses += other._losses

    def intervals(self) -> dict[str, tuple[float, float]]:
        """The bootstrap interval of the mean absolute error."""
        errors = np.abs(np.concatenate(self._predictions) - np.concatenate(self._truths))
        return {"mae": mean_interval(errors.mean(1))}

    def compute(self) -> EvaluationResult:
        """``details`` is ``per_value``: for each metric but the loss, a list of D."""
        predictions, truths = np.concatenate(self._predictions), np.concatenate(self._truths)
        losses, errors = np.concatenate(self._losses), predictions - truths
        per_value = {
            "mae": np.abs(errors).mean(0),
            "rmse": np.sqrt((errors**2).mean(0)),
            "r2": np.array([r_squared(*columns) for columns in zip(truths.T, predictions.T, strict=True)]),
            "spearman": np.array([spearman(*columns) for columns in zip(truths.T, predictions.T, strict=True)]),
        }
        if self._quantile is not None:
            per_value["coverage"] = (truths <= predictions).mean(0)
        metrics = {name: float(values.mean()) for name, values in per_value.items()}
        metrics["loss"] = float(losses.mean())
        details: dict[str, Any] = {
            "names": list(self._names),
            "per_value": {name: values.tolist() for name, values in per_value.items()},
        }
        return EvaluationResult(metrics, {"absolute_error": np.abs(errors).mean(1), "loss": losses}, details)


def r_squared(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the coefficient of determination of float64 (N,); 0 if the truths are all equal."""
    whole = float(((truth - truth.mean()) ** 2).sum())
    return 1 - float(((truth - found) ** 2).sum()) / whole if whole > 0 else 0.0


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rank correlation of float64 (N,), with mean ranks for ties; 0 if one of them is constant."""
    ranks = [mean_ranks(one), mean_ranks(other)]
    if any(np.ptp(each) == 0 for each in ranks):
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value from 1, float64 (N,); equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[places])
