"""Two engines' outputs for the same inputs: how far apart, the same class or not, and how often right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

TOLERANCE = 1e-4
"""Largest difference allowed at fp32, as a share of the largest output of the batch."""


class Comparison:
    """Adds up batches of (expected, found), each float32 (B, K).

    Logits are centred before they are compared: the mean of each row is subtracted. Softmax ignores what all logits of
    a row share, so an offset that is common to them must not count as an error, nor, above all, as size: the tolerance
    is a share of the largest value, and an offset of 10,000 would allow an error of 1 in logits that differ by 2.
    Outputs that are no logits (``logits=False``) are compared as they are.
    """

    def __init__(self, *, logits: bool = True) -> None:
        self._logits = logits
        self._expected: list[np.ndarray] = []
        self._found: list[np.ndarray] = []
        self._largest_error = self._largest_relative = 0.0
        self._decided = 0

    def add(self, expected: np.ndarray, found: np.ndarray) -> str | None:
        """What is wrong with a batch, in words, or None. NaN is wrong, even on both sides."""
        if expected.shape != found.shape:
            return f"the shape is {found.shape} where {expected.shape} is due"
        sides = [
            side
            for side, values in (("PyTorch", expected), ("the exported model", found))
            if not np.isfinite(values).all()
        ]
        if sides:
            return f"outputs of {' and of '.join(sides)} are not finite"
        if self._logits:
            expected, found = centred(expected), centred(found)
        scale = float(np.abs(expected).max())
        error = float(np.abs(expected - found).max())
        relative = error / scale if scale else (0.0 if error == 0 else float("inf"))
        if error > TOLERANCE * scale:
            return f"largest error {error:.3g} absolute, {relative:.3g} relative, where {TOLERANCE:g} is allowed"
        decided = _margin(expected) > 2 * TOLERANCE * scale
        if (expected.argmax(1) != found.argmax(1))[decided].any():
            return "the top-1 class differs where the margin is clear"
        self._expected.append(expected)
        self._found.append(found)
        self._largest_error, self._largest_relative = (
            max(self._largest_error, error),
            max(self._largest_relative, relative),
        )
        self._decided += int(decided.sum())
        return None

    def facts(self) -> dict[str, Any]:
        expected, found = np.concatenate(self._expected), np.concatenate(self._found)
        return {
            "samples": len(expected),
            "max_abs_error": self._largest_error,
            "max_rel_error": self._largest_relative,
            "top1_agree": int((expected.argmax(1) == found.argmax(1)).sum()),
            "top1_decided": self._decided,
        }

    def accuracy(self, labels: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
        """Top-1 accuracy of both sides, overall and by class (a class with no samples is left out)."""
        right = self._right(labels)
        rows = {}
        for index, name in enumerate(classes):
            mine = labels == index
            if mine.any():
                rows[name] = {
                    "samples": int(mine.sum()),
                    **{side: float(hits[mine].mean()) for side, hits in right.items()},
                }
        return {**{side: float(hits.mean()) for side, hits in right.items()}, "per_class": rows}

    def drop(self, labels: np.ndarray) -> str | None:
        """What is wrong with the accuracy of the exported model, in words, or None.

        The tolerance explains that a sample changes its class where the margin between its two largest logits is below
        twice the tolerance. Here that is a share of the sample's own largest logit: a batch's one outlier widens what
        is allowed for all its other samples.
        """
        right = self._right(labels)
        lost = int(right["pytorch"].sum()) - int(right["exported"].sum())
        expected = np.concatenate(self._expected)
        explained = int((_margin(expected) <= 2 * TOLERANCE * np.abs(expected).max(1)).sum())
        if lost <= explained:
            return None
        before, after = (float(right[side].mean()) for side in ("pytorch", "exported"))
        return (
            f"its accuracy is {after:.2%} where PyTorch has {before:.2%}: {lost} of {len(labels)} samples are lost, of "
            "which the tolerance explains "
            f"{explained}"
        )

    def _right(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        return {
            side: np.concatenate(rows).argmax(1) == labels
            for side, rows in (("pytorch", self._expected), ("exported", self._found))
        }


def centred(logits: np.ndarray) -> np.ndarray:
    """float64 (B, K), the mean of each row subtracted.

    A single class has nothing to be compared with: its logit stays as it is.
    """
    exact = logits.astype(np.float64)
    return exact if exact.shape[1] < 2 else exact - exact.mean(1, keepdims=True)


def _margin(logits: np.ndarray) -> np.ndarray:
    """Between the two largest logits of each row."""
    if logits.shape[1] < 2:
        return np.full(len(logits), np.inf)
    two = np.partition(logits, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])
