"""Matrices for `zoo.api.Augmentation.geometry`, and the rectangles that several augmentations draw."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def matrices(
    like: Tensor,
    *,
    xx: Tensor | float = 1.0,
    xy: Tensor | float = 0.0,
    x: Tensor | float = 0.0,
    yx: Tensor | float = 0.0,
    yy: Tensor | float = 1.0,
    y: Tensor | float = 0.0,
) -> Tensor:
    """(N, 2, 3) from its entries, each one for all or one for each of the N entries of ``like``: the output's (x, y)
    comes from (xx·x + xy·y + x, yx·x + yy·y + y) of the input."""
    entries = (value if isinstance(value, Tensor) else torch.full_like(like, value) for value in (xx, xy, x, yx, yy, y))
    return torch.stack(list(entries), 1).view(-1, 2, 3)


def rectangles(
    area: Tensor,
    aspect: Tensor,
    height: Tensor | float,
    width: Tensor | float,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """Height and width (N,) of rectangles that have a share ``scale`` of the area, height over width log-uniform in
    ``ratio``, and are at most as large as the sides. ``area`` and ``aspect`` are draws (N,)."""
    share = scale[0] + area * (scale[1] - scale[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    root = torch.exp(0.5 * (low + aspect * (high - low)))  # the square root of height : width
    side = torch.sqrt(share * (height * width))
    return _within(side * root, height), _within(side / root, width)


def _within(side: Tensor, most: Tensor | float) -> Tensor:
    return side.clamp_min(1).minimum(most) if isinstance(most, Tensor) else side.clamp(1, most)
