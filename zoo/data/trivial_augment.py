"""TrivialAugment (Müller and Hutter: TrivialAugment, ICCV 2021), the wide space: one operation at one strength a
picture, both at random."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zoo.data import pixel_ops

DRAWS = 3
"""Of the operation, its strength, its sign."""
BINS = 31


def apply(images: Tensor, draws: Tensor) -> Tensor:
    """Pictures (N, C, H, W), 0–255, and draws (N, 3); those of one operation go through it together."""
    images = images.float()
    chosen = (draws[:, 0] * len(OPERATIONS)).long().clamp_(max=len(OPERATIONS) - 1)
    strength = (draws[:, 1] * BINS).floor().clamp_(max=BINS - 1) / (BINS - 1)
    sign = torch.where(draws[:, 2] < 0.5, -1.0, 1.0)
    changed = images.clone()
    for number, operation in enumerate(OPERATIONS.values()):
        rows = (chosen == number).nonzero()[:, 0]
        if len(rows):
            changed[rows] = operation(images[rows], strength[rows], sign[rows])
    return changed


Operation = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Pictures (n, C, H, W), strength 0–1 (n,) and sign ±1 (n,)."""


def _map(
    xx: Tensor | float,
    xy: Tensor | float,
    x: Tensor | float,
    yx: Tensor | float,
    yy: Tensor | float,
    y: Tensor | float,
    like: Tensor,
) -> Tensor:
    entries = (value if isinstance(value, Tensor) else torch.full_like(like, value) for value in (xx, xy, x, yx, yy, y))
    return torch.stack(list(entries), 1).view(-1, 2, 3)


def _shear_x(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    # pillow, and torchvision after it, shears about the top-left corner, not the centre
    amount = strength * sign * 0.99
    return pixel_ops.warp(images, _map(1.0, amount, amount * (images.shape[2] / 2), 0.0, 1.0, 0.0, strength))


def _shear_y(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    amount = strength * sign * 0.99
    return pixel_ops.warp(images, _map(1.0, 0.0, 0.0, amount, 1.0, amount * (images.shape[3] / 2), strength))


def _translate_x(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    return pixel_ops.warp(images, _map(1.0, 0.0, -(strength * 32).floor() * sign, 0.0, 1.0, 0.0, strength))


def _translate_y(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    return pixel_ops.warp(images, _map(1.0, 0.0, 0.0, 0.0, 1.0, -(strength * 32).floor() * sign, strength))


def _rotate(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    angle = strength * sign * math.radians(135)
    return pixel_ops.warp(images, _map(angle.cos(), -angle.sin(), 0.0, angle.sin(), angle.cos(), 0.0, strength))


def _factor(strength: Tensor, sign: Tensor) -> Tensor:
    return (1 + strength * sign * 0.99).view(-1, 1, 1, 1)


OPERATIONS: dict[str, Operation] = {
    "identity": lambda images, _strength, _sign: images,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    "rotate": _rotate,
    "brightness": lambda images, strength, sign: pixel_ops.brightness(images, _factor(strength, sign)),
    "color": lambda images, strength, sign: pixel_ops.blend(images, pixel_ops.grey(images), _factor(strength, sign)),
    "contrast": lambda images, strength, sign: pixel_ops.contrast(images, _factor(strength, sign)),
    "sharpness": lambda images, strength, sign: pixel_ops.sharpness(images, _factor(strength, sign)),
    "posterize": lambda images, strength, _sign: pixel_ops.posterize(
        images, (8 - (strength * 6).round()).view(-1, 1, 1, 1)
    ),
    "solarize": lambda images, strength, _sign: pixel_ops.solarize(images, (255 - strength * 255).view(-1, 1, 1, 1)),
    "autocontrast": lambda images, _strength, _sign: pixel_ops.autocontrast(images),
    "equalize": lambda images, _strength, _sign: pixel_ops.equalize(images),
}
"""By the paper's names, with torchvision's ranges: shear 0.99, 32 pixels, 135 degrees, factor 1 ± 0.99, 2 bits at the
least."""
