"""Conversion of an image to a matrix, and back: rows are kept, and each row has the channels of its pixels in order."""

from __future__ import annotations

import numpy as np


def as_matrix(image: np.ndarray) -> np.ndarray:
    """uint8 (C, H, W) → float32 (H, W·C): a photograph of 600×400×3 is a 600×1200 matrix."""
    channels, height, width = image.shape
    return np.asarray(image.transpose(1, 2, 0).reshape(height, width * channels), np.float32)


def as_image(matrix: np.ndarray, channels: int) -> np.ndarray:
    """(H, W·C) → uint8 (H, W, C): rounded, and clipped before the cast (3 to 6 % of a photograph's values would else
    wrap around)."""
    pixels: np.ndarray = np.clip(np.rint(matrix), 0, 255).astype(np.uint8)
    return pixels.reshape(len(matrix), -1, channels)
