"""TrivialAugment (Müller and Hutter: TrivialAugment, ICCV 2021), the wide space: one operation at one strength for each
image, both at random."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from zoo.api import Augmentation
from zoo.plugin import to_device, warp_images
from zoo_augment import options, pixel_ops
from zoo_augment.matrices import matrices

BINS = 31

Side = Tensor | int
"""Heights or widths (n,), or one for all."""
Move = Callable[[Tensor, Tensor, Side, Side], Tensor]
"""Strength 0–1 (n,), sign ±1 (n,), height and width → matrices (n, 2, 3)."""
Recolour = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Images (n, C, H, W), strength 0–1 (n,) and sign ±1 (n,) → images."""


class TrivialAugment(Augmentation[options.TrivialAugment]):
    """An operation either changes values or moves pixels. Only the images that it moves are resampled, so `resample`
    keeps the others to the bit."""

    draws = 3  # of the operation, its strength, its sign
    draws_on_host = True

    def pixels(self, images: Tensor, draws: Tensor) -> Tensor:
        images = images.float()
        changed = images.clone()
        for name, rows, strength, sign in _groups(draws, images.device):
            if name in COLOURS:
                changed[rows] = COLOURS[name](images[rows], strength, sign)
        return changed

    def resample(self, images: Tensor, draws: Tensor) -> Tensor:
        moved = images.clone()
        for name, rows, strength, sign in _groups(draws, images.device):
            if name in MOVES:
                moved[rows] = warp_images(images[rows], MOVES[name](strength, sign, images.shape[2], images.shape[3]))
        return moved

    def geometry(self, draws: Tensor, sizes: Tensor) -> Tensor:
        maps = matrices(draws[:, 0])
        for name, rows, strength, sign in _groups(draws, draws.device):
            if name in MOVES:
                maps[rows] = MOVES[name](strength, sign, *sizes[rows].unbind(1))
        return maps


def _groups(draws: Tensor, device: torch.device) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    """Yield each operation that is drawn, with the rows (n,) that it is drawn for, their strengths and signs, on the
    device; the draws are on the host, which counts the rows."""
    chosen = (draws[:, 0] * len(OPERATIONS)).long().clamp_(max=len(OPERATIONS) - 1)
    strength = (draws[:, 1] * BINS).floor().clamp_(max=BINS - 1) / (BINS - 1)
    sign = torch.where(draws[:, 2] < 0.5, -1.0, 1.0)
    order = chosen.argsort(stable=True)
    counts = torch.bincount(chosen, minlength=len(OPERATIONS)).tolist()
    columns = (torch.split(to_device(each, device), counts) for each in (order, strength[order], sign[order]))
    for name, *group in zip(OPERATIONS, *columns, strict=True):
        if len(group[0]):
            yield name, *group


def _shear_x(strength: Tensor, sign: Tensor, height: Side, width: Side) -> Tensor:
    # pillow, and torchvision after it, shears about the top-left corner, not the centre
    amount = strength * sign * 0.99
    return matrices(strength, xy=amount, x=amount * (height / 2))


def _shear_y(strength: Tensor, sign: Tensor, height: Side, width: Side) -> Tensor:
    amount = strength * sign * 0.99
    return matrices(strength, yx=amount, y=amount * (width / 2))


def _translate_x(strength: Tensor, sign: Tensor, height: Side, width: Side) -> Tensor:
    return matrices(strength, x=-(strength * 32).floor() * sign)


def _translate_y(strength: Tensor, sign: Tensor, height: Side, width: Side) -> Tensor:
    return matrices(strength, y=-(strength * 32).floor() * sign)


def _rotate(strength: Tensor, sign: Tensor, height: Side, width: Side) -> Tensor:
    angle = strength * sign * math.radians(135)
    return matrices(strength, xx=angle.cos(), xy=-angle.sin(), yx=angle.sin(), yy=angle.cos())


def _factor(strength: Tensor, sign: Tensor) -> Tensor:
    return (1 + strength * sign * 0.99).view(-1, 1, 1, 1)


MOVES: dict[str, Move] = {
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    "rotate": _rotate,
}
COLOURS: dict[str, Recolour] = {
    "brightness": lambda images, strength, sign: pixel_ops.brightness(images, _factor(strength, sign)),
    "color": lambda images, strength, sign: pixel_ops.blend(images, pixel_ops.gray(images), _factor(strength, sign)),
    "contrast": lambda images, strength, sign: pixel_ops.contrast(images, _factor(strength, sign)),
    "sharpness": lambda images, strength, sign: pixel_ops.sharpness(images, _factor(strength, sign)),
    "posterize": lambda images, strength, _sign: pixel_ops.posterize(
        images, (8 - (strength * 6).round()).view(-1, 1, 1, 1)
    ),
    "solarize": lambda images, strength, _sign: pixel_ops.solarize(images, (255 - strength * 255).view(-1, 1, 1, 1)),
    "autocontrast": lambda images, _strength, _sign: pixel_ops.autocontrast(images),
    "equalize": lambda images, _strength, _sign: pixel_ops.equalize(images),
}
OPERATIONS = ("identity", *MOVES, *COLOURS)
"""By the paper's names, with torchvision's ranges: shear 0.99, 32 pixels, 135 degrees, factor 1 ± 0.99, 2 bits at the
least. A draw means an operation by its place."""
