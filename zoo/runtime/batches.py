"""Batches of images that a model is called with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

BATCH = 32
"""The images of a batch, if the model has no fixed batch size."""


def run_filled(run: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, spec: dict[str, Any]) -> np.ndarray:
    """The outputs for inputs of at most one batch."""
    fixed, count = spec.get("batch"), len(inputs)
    if fixed and count < fixed:  # a file with a fixed batch takes no fewer
        inputs = np.concatenate([inputs, np.zeros((fixed - count, *inputs.shape[1:]), np.float32)])
    return run(inputs)[:count]
