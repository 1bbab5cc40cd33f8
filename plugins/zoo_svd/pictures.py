"""A picture as a matrix, and back: its rows stay, the columns of its channels lie side by side, pixel by pixel."""

from __future__ import annotations

import numpy as np

from zoo.errors import DataError


def as_matrix(picture: np.ndarray) -> np.ndarray:
    """uint8 (C, H, W) → float32 (H, W·C): a photograph of 600×400×3 is a 600×1200 matrix."""
    channels, height, width = picture.shape
    return np.asarray(picture.transpose(1, 2, 0).reshape(height, width * channels), np.float32)


def as_picture(matrix: np.ndarray, channels: int) -> np.ndarray:
    """(H, W·C) → uint8 (H, W, C): rounded, and clipped before the cast (3 to 6 % of a photograph's values would else wrap around)."""
    pixels: np.ndarray = np.clip(np.rint(matrix), 0, 255).astype(np.uint8)
    return pixels.reshape(len(matrix), -1, channels)


def arranged(picture: np.ndarray, size: tuple[int, int] | None, name: str) -> np.ndarray:
    """uint8 (C, h, w) turned to the orientation of ``size`` (H, W) and cropped to it at the centre. Raises DataError where it is smaller."""
    if size is None:
        return picture
    height, width = size
    turned = np.rot90(picture, axes=(1, 2)) if (picture.shape[1] < picture.shape[2]) != (height < width) and height != width else picture
    _, own_height, own_width = turned.shape
    if own_height < height or own_width < width:
        raise DataError(
            f"the picture is {own_height}×{own_width}, and {height}×{width} cannot be cut out of it", where=name, fix="choose a smaller task.size"
        )
    top, left = (own_height - height) // 2, (own_width - width) // 2
    return turned[:, top : top + height, left : left + width]
