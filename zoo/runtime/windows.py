"""Masks of large images: windows of the model's size are slid over the whole image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zoo.runtime.batches import BATCH, run_filled
from zoo.runtime.decisions import decision_of
from zoo.runtime.preprocessing import normalise

MOST_OVERLAP = 0.9
"""Of windows, as a share of the window."""


def check_window(window: float, decision: dict[str, Any]) -> None:
    """Raises ValueError for an overlap of windows that is no share, or a decision without masks."""
    if decision["kind"] != "pixel_argmax":
        raise ValueError(f"windows need a model that gives masks, and the decision is {decision['kind']}")
    if not 0 <= window <= MOST_OVERLAP:
        raise ValueError(f"the overlap of windows is {window:g}, not a share from 0 to {MOST_OVERLAP}")


def window_mask(run: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, description: dict[str, Any]) -> np.ndarray:
    """The class of each pixel, uint8 (H, W), of an image uint8 (C, H, W) no smaller than the network's input.

    Where windows overlap, their outputs are added up, weighted by the distance to the border of the window, because
    near it the network sees less of the surroundings. Only as many rows of outputs are held as a window has.
    """
    spec, names = description["input"], decision_of(description)["classes"]
    height, width = spec["height"], spec["width"]
    sides = zip(pixels.shape[1:], (height, width))  # noqa: B905
    tops, lefts = (window_starts(side, size, description["window"]) for side, size in sides)
    down, across = (np.minimum(np.arange(n) + 1, n - np.arange(n)) for n in (height, width))
    weights = np.minimum.outer(down, across).astype(np.float32)
    mask = np.empty(pixels.shape[1:], np.uint8)
    outputs = np.zeros((len(names), height, pixels.shape[2]), np.float32)
    size = spec.get("batch") or BATCH
    for top, following in zip(tops, [*tops[1:], pixels.shape[1]]):  # noqa: B905
        for start in range(0, len(lefts), size):
            places = lefts[start : start + size]
            windows = np.stack([pixels[:, top : top + height, left : left + width] for left in places])
            inputs = normalise(windows, spec["mean"], spec["std"])
            for left, found in zip(places, run_filled(run, inputs, spec)):  # noqa: B905
                outputs[:, :, left : left + width] += found * weights
        done = following - top
        mask[top:following] = outputs[:, :done].argmax(axis=0)
        outputs = np.concatenate([outputs[:, done:], np.zeros_like(outputs[:, :done])], axis=1)
    return mask


def window_starts(side: int, size: int, overlap: float) -> list[int]:
    """Where windows of ``size`` pixels begin that cover ``side`` pixels evenly and overlap by at least that share."""
    steps = -(-(side - size) // max(1, int(size * (1 - overlap))))
    return [(side - size) * step // steps for step in range(steps + 1)] if steps else [0]
