"""Comparison of two engines' outputs for the same inputs: errors, predictions, and accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo import runtime
from zoo.contract.decisions import Affine, Decision, Sigmoid
from zoo.exporting.decision_rules import (
    TOLERANCE,
    UNITS,
    WORDS,
    Answers,
    answers,
    as_json,
    compared,
    names_of,
    value_fault,
)

SIDES = ("pytorch", "exported")


class Comparison:
    """Accumulates batches of (expected, found) outputs, each float32 (B, …), for one decision.

    ``ignore`` is the value of ignored pixels in target masks.
    """

    def __init__(self, decision: Decision, ignore: int | None = None) -> None:
        self._decision = decision
        self._samples = self._agree = self._clear = self._decisions = 0
        self._largest_error = self._largest_relative = 0.0
        self._names = names_of(decision)
        self._value_error = np.zeros(len(self._names))
        self._targets = _TargetCounts(decision, ignore)

    def add(self, expected: np.ndarray, found: np.ndarray, targets: np.ndarray | None = None) -> str | None:
        """Add a batch, and return what is wrong with it, or None. NaN is an error, even in both outputs.

        ``targets`` have the dtype and shape of the dataset's target.
        """
        if expected.shape != found.shape:
            return f"the shape is {found.shape}, expected {expected.shape}"
        sides = [
            side
            for side, values in (("PyTorch", expected), ("the exported model", found))
            if not np.isfinite(values).all()
        ]
        if sides:
            return f"outputs of {' and of '.join(sides)} are not finite"
        ours, theirs = compared(expected, self._decision), compared(found, self._decision)
        scale = float(np.abs(ours).max())
        error = float(np.abs(ours - theirs).max())
        relative = error / scale if scale else (0.0 if error == 0 else float("inf"))
        if error > TOLERANCE * scale:
            return f"largest error {error:.3g} absolute, {relative:.3g} relative, tolerance {TOLERANCE:g}"
        decided = answers(ours, self._decision), answers(theirs, self._decision)
        fault = value_fault(ours, theirs, self._decision) or self._add_answers(*decided, len(ours), scale)
        if fault is not None:
            return fault
        self._samples += len(ours)
        self._largest_error = max(self._largest_error, error)
        self._largest_relative = max(self._largest_relative, relative)
        self._add_values(ours, theirs, targets)
        if targets is not None and decided[0] is not None and decided[1] is not None:
            self._targets.add(ours, decided[0], decided[1], targets)
        return None

    def _add_answers(self, ours: Answers | None, theirs: Answers | None, samples: int, scale: float) -> str | None:
        """Predicted numbers count as equal, since they are within the tolerance."""
        if ours is None or theirs is None:
            counted = agree = clear = samples
        else:
            same, decided = ours.values == theirs.values, ours.margins > 2 * TOLERANCE * scale
            if (decided & ~same).any():
                return f"{WORDS[self._decision.kind]} differs although its margin exceeds the tolerance"
            counted, agree, clear = same.size, int(same.sum()), int(decided.sum())
        self._decisions += counted
        self._agree += agree
        self._clear += clear
        return None

    def _add_values(self, ours: np.ndarray, theirs: np.ndarray, targets: np.ndarray | None) -> None:
        if isinstance(self._decision, Affine):
            values = [runtime.affine(outputs, as_json(self._decision)) for outputs in (ours, theirs)]
            self._value_error = np.maximum(self._value_error, np.abs(values[0] - values[1]).max(0))
            if targets is not None:
                self._targets.add_values(values[0], values[1], targets)

    def facts(self) -> dict[str, Any]:
        """Return the result as JSON. ``decisions`` counts predictions: per sample, per label for sigmoid, per pixel for
        pixel_argmax."""
        facts: dict[str, Any] = {
            "samples": self._samples,
            "max_abs_error": self._largest_error,
            "max_rel_error": self._largest_relative,
            "decisions": self._decisions,
            "decisions_agree": self._agree,
            "decisions_clear": self._clear,
        }
        if isinstance(self._decision, Affine):
            facts["max_value_error"] = dict(zip(self._names, self._value_error.tolist(), strict=True))
        return facts

    def accuracy(self) -> dict[str, Any] | None:
        """Return the accuracy of both engines, overall and by class (classes without targets are omitted); None for
        predicted numbers and without targets."""
        return self._targets.accuracy()

    def mean_absolute_error(self) -> dict[str, dict[str, float]] | None:
        """Return the mean absolute error of both engines for each number of an affine decision; None for other
        decisions and without targets."""
        return self._targets.mean_absolute_error()

    def drop(self) -> str | None:
        """Return what is wrong with the accuracy of the exported model, or None.

        The tolerance explains a changed prediction if its margin is below twice the tolerance. Here, the tolerance is
        relative to the sample's own largest value, so that one outlier does not loosen it for its whole batch.
        """
        return self._targets.drop()


class _TargetCounts:
    """Counts of correct predictions by class and engine, so that the masks of a split need not be kept."""

    def __init__(self, decision: Decision, ignore: int | None) -> None:
        self._decision, self._ignore, self._names = decision, ignore, names_of(decision)
        self._right = {side: np.zeros(len(self._names), np.int64) for side in SIDES}
        self._counted = np.zeros(len(self._names), np.int64)
        self._explained = self._valued = 0
        self._errors = {side: np.zeros(len(self._names)) for side in SIDES}

    def add(self, expected: np.ndarray, ours: Answers, theirs: Answers, targets: np.ndarray) -> None:
        wanted = targets.astype(np.int64)
        labels = isinstance(self._decision, Sigmoid)
        group = np.broadcast_to(np.arange(len(self._names)), wanted.shape) if labels else wanted
        counted = (group >= 0) & (group < len(self._names))
        if not labels and self._ignore is not None:
            counted &= wanted != self._ignore
        for side, own in zip(SIDES, (ours, theirs), strict=True):
            self._right[side] += self._by_class(group[counted & (own.values == wanted)])
        self._counted += self._by_class(group[counted])
        largest = np.abs(expected).max(tuple(range(1, expected.ndim)))
        limits = 2 * TOLERANCE * largest.reshape(-1, *(1,) * (ours.margins.ndim - 1))
        self._explained += int(((ours.margins <= limits) & counted).sum())

    def _by_class(self, classes: np.ndarray) -> np.ndarray:
        return np.bincount(classes, minlength=len(self._names))

    def add_values(self, ours: np.ndarray, theirs: np.ndarray, targets: np.ndarray) -> None:
        for side, values in zip(SIDES, (ours, theirs), strict=True):
            self._errors[side] += np.abs(values - targets).sum(0)
        self._valued += len(targets)

    def accuracy(self) -> dict[str, Any] | None:
        total = int(self._counted.sum())
        if not total:
            return None
        unit = UNITS[self._decision.kind]
        rows = {
            name: {unit: int(count), **{side: float(right[index] / count) for side, right in self._right.items()}}
            for index, (name, count) in enumerate(zip(self._names, self._counted, strict=True))
            if count
        }
        overall = {side: float(right.sum() / total) for side, right in self._right.items()}
        return {"counted": unit, **overall, "per_class": rows}

    def mean_absolute_error(self) -> dict[str, dict[str, float]] | None:
        if not self._valued:
            return None
        return {
            name: {side: float(errors[index] / self._valued) for side, errors in self._errors.items()}
            for index, name in enumerate(self._names)
        }

    def drop(self) -> str | None:
        total, right = int(self._counted.sum()), {side: int(counts.sum()) for side, counts in self._right.items()}
        lost = right["pytorch"] - right["exported"]
        if lost <= self._explained:
            return None
        return (
            f"its accuracy is {right['exported'] / total:.2%}, PyTorch's is {right['pytorch'] / total:.2%}: {lost} "
            f"of {total} {UNITS[self._decision.kind]} are lost, of which the tolerance explains {self._explained}"
        )
