"""Comparison of the tables and masks of a bundle's predict.py with PyTorch's results."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo import runtime
from zoo.contract.decisions import Affine, Decision, PixelArgmax, Raw, Sigmoid, Softmax
from zoo.exporting.decision_rules import TOLERANCE, answers, as_json, compared
from zoo.exporting.output_comparison import Comparison

SMALLEST_PROBABILITY = 1e-300
"""Smaller probabilities are raised to this value, because logarithms are compared."""
TEXT_ERROR = 1e-8
"""The relative rounding error of a number in a table."""


class Difference(Exception):
    """A difference, in words; ``image`` is the file."""

    def __init__(self, what: str, image: str = "") -> None:
        super().__init__(what)
        self.image = image


@dataclass(frozen=True)
class Expected:
    """PyTorch's outputs for image files, and the predictions from them in their final sizes."""

    decision: Decision
    files: list[Path]
    outputs: np.ndarray
    values: list[np.ndarray]

    @cached_property
    def scale(self) -> float:
        """The largest compared output of all images, to which the tolerance is relative."""
        return float(np.abs(compared(self.outputs, self.decision)).max())

    def clear(self, index: int) -> np.ndarray | None:
        """Return where the predictions of one image have a margin above the tolerance; None for numbers."""
        found = answers(compared(self.outputs[index : index + 1], self.decision), self.decision)
        return None if found is None else np.asarray(found.margins[0] > 2 * TOLERANCE * self.scale)

    @classmethod
    def of(cls, decision: Decision, files: list[Path], outputs: np.ndarray, spec: dict[str, Any]) -> Expected:
        values = list(runtime.decide(outputs, as_json(decision)))
        if _has_own_size(decision, spec):
            values = [_at_own_size(mask, file, spec) for mask, file in zip(values, files, strict=True)]
        return cls(decision, files, outputs, values)

    def write(self, table: Path) -> None:
        runtime.write_csv(table, zip(self.files, self.values, strict=True), as_json(self.decision))


def compare_tables(expected: Expected, due: Path, found: Path) -> dict[str, Any]:
    """Compare two tables in the same format, and return the result as JSON. Raises Difference."""
    (header, *wanted), (other, *given) = (_rows(file) for file in (due, found))
    if header != other:
        raise Difference("has other columns, or in another order, than the model")
    if len(given) != len(wanted):
        raise Difference(f"predicts {len(given)} of {len(wanted)} images")
    texts = header[1:2] == ["prediction"]
    comparison, errors, agree = Comparison(_of_table(expected.decision)), [], 0
    for index, (row, own) in enumerate(zip(wanted, given, strict=True)):
        numbers = tuple(np.array([each[1 + texts :]], np.float64) for each in (row, own))
        errors.append(float(np.abs(numbers[0] - numbers[1]).max()))
        fault = _fault(expected, index, numbers, comparison)
        if texts and row[1] != own[1] and (fault or np.all(expected.clear(index))):
            fault = fault or f"the prediction is {own[1]!r}, PyTorch's is {row[1]!r}"
        if fault is not None:
            raise Difference(f"its values differ by up to {errors[-1]:.2g}; {fault}", Path(row[0]).name)
        agree += not texts or row[1] == own[1]
    return {
        "tolerance": TOLERANCE,
        "max_value_error": max(errors),
        "max_rel_error": comparison.facts()["max_rel_error"] if isinstance(expected.decision, Softmax) else None,
        "decisions": len(wanted),
        "decisions_agree": agree,
    }


def _of_table(decision: Decision) -> Decision:
    """Logarithms of probabilities are logits already divided by the temperature."""
    return decision.model_copy(update={"temperature": 1.0}) if isinstance(decision, Softmax) else Raw()


def _fault(expected: Expected, index: int, numbers: tuple[np.ndarray, ...], comparison: Comparison) -> str | None:
    """Return what is wrong with the numbers of one image, or None."""
    decision, (ours, theirs) = expected.decision, numbers
    if not np.isfinite(theirs).all():
        return "they are not finite"
    if isinstance(decision, Softmax):
        fault = comparison.add(*(np.log(np.maximum(values, SMALLEST_PROBABILITY)) for values in numbers))
        return fault and f"in logarithms, {fault}"
    if isinstance(decision, Sigmoid):
        allowed = np.full(ours.shape, TOLERANCE)
    elif isinstance(decision, Affine):
        # The offset is subtracted, because a large offset would hide an error.
        largest = np.abs(runtime.linked(expected.outputs, as_json(decision))).max()
        allowed = TOLERANCE * largest * np.abs(np.asarray(decision.scale)) + TEXT_ERROR * np.abs(ours)
    elif isinstance(decision, PixelArgmax):
        allowed = np.full(ours.shape, TEXT_ERROR + 1 - float(np.mean(np.asarray(expected.clear(index)))))
    else:
        allowed = np.full(ours.shape, (TOLERANCE + TEXT_ERROR) * np.abs(ours).max())
    beyond = np.abs(ours - theirs) > allowed
    return f"{int(beyond.sum())} of {beyond.size} exceed the tolerance" if beyond.any() else None


def compare_masks(expected: Expected, masks: list[Path], spec: dict[str, Any]) -> None:
    """Check the size of the masks of predict.py and, where the margin exceeds the tolerance, their classes. Raises
    Difference."""
    for index, (file, mask) in enumerate(zip(expected.files, masks, strict=True)):
        with Image.open(mask) as image:
            found = np.asarray(image)
        due, clear = expected.values[index], np.asarray(expected.clear(index))
        if found.shape != due.shape:
            raise Difference(f"its mask has the shape {found.shape}, expected {due.shape}", file.name)
        if _has_own_size(expected.decision, spec):
            clear = _at_own_size(clear.astype(np.uint8), file, spec).astype(bool)
        wrong = int(((found != due) & clear).sum())
        if wrong:
            raise Difference(f"{wrong} of {due.size} pixels of its mask have another class", file.name)


def _has_own_size(decision: Decision, spec: dict[str, Any]) -> bool:
    """Return whether masks are resized to their image (see `zoo.runtime.predict`)."""
    return isinstance(decision, PixelArgmax) and decision.size == "image" and spec["resize"] == runtime.SQUASH


def _at_own_size(mask: np.ndarray, file: Path, spec: dict[str, Any]) -> np.ndarray:
    image = runtime.read_image(file, spec["channels"], spec["max_pixels"], spec["value_range"])
    return runtime.resize_mask(mask, image.size)


def _rows(file: Path) -> list[list[str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))
