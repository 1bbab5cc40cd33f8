"""Two engines' outputs for the same inputs: how far apart, the same answers or not, and how often right."""

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
    """Adds up batches of (expected, found), each float32 (B, …), by what the decision makes of them.

    ``ignore`` is the value of the pixels in target masks that do not count.
    """

    def __init__(self, decision: Decision, ignore: int | None = None) -> None:
        self._decision = decision
        self._samples = self._agree = self._clear = self._decisions = 0
        self._largest_error = self._largest_relative = 0.0
        self._names = names_of(decision)
        self._value_error = np.zeros(len(self._names))
        self._targets = _TargetCounts(decision, ignore)

    def add(self, expected: np.ndarray, found: np.ndarray, targets: np.ndarray | None = None) -> str | None:
        """What is wrong with a batch, in words, or None. NaN is wrong, even on both sides.

        ``targets``: what the answers should be, in the dtype and shape of the dataset's target.
        """
        if expected.shape != found.shape:
            return f"the shape is {found.shape} where {expected.shape} is due"
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
            return f"largest error {error:.3g} absolute, {relative:.3g} relative, where {TOLERANCE:g} is allowed"
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
        """An answer of numbers counts as one that agrees: it is within the tolerance."""
        if ours is None or theirs is None:
            counted = agree = clear = samples
        else:
            same, decided = ours.values == theirs.values, ours.margins > 2 * TOLERANCE * scale
            if (decided & ~same).any():
                return f"{WORDS[self._decision.kind]} differs where the margin is clear"
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
        """``decisions`` counts answers: one a sample, for sigmoid one a label, for pixel_argmax one a pixel."""
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
        """The share of answers that are the target on both sides, overall and by class (one without targets is left
        out); None for answers that are numbers, and where no targets were given."""
        return self._targets.accuracy()

    def mean_absolute_error(self) -> dict[str, dict[str, float]] | None:
        """Of the numbers of an affine decision by name, on both sides; None for others and where no targets were
        given."""
        return self._targets.mean_absolute_error()

    def drop(self) -> str | None:
        """What is wrong with the accuracy of the exported model, in words, or None.

        The tolerance explains that an answer changes where its margin is below twice the tolerance. Here that is a
        share of the sample's own largest value: a batch's one outlier widens what is allowed for all its other samples.
        """
        return self._targets.drop()


class _TargetCounts:
    """How many answers are the target, by class and side, as counts: the masks of a whole split need not be kept."""

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
            f"its accuracy is {right['exported'] / total:.2%} where PyTorch has {right['pytorch'] / total:.2%}: {lost} "
            f"of {total} {UNITS[self._decision.kind]} are lost, of which the tolerance explains {self._explained}"
        )
