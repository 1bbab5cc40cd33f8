"""Augmentations that move whole pixels: dtype and values stay exact."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.api import Augmentation
from zoo_augment import options
from zoo_augment.matrices import matrices

LARGE = 32_768
"""Bytes of an image from which the CPU mirrors the chosen images one by one, several times as fast as all of them."""


class Flip(Augmentation[options.Flip]):
    """Mirror with a probability. `resample` is exact: bilinear sampling would make floats of bytes."""

    draws = 1

    def resample(self, images: Tensor, draws: Tensor) -> Tensor:
        dim, chosen = 3 if self.options.axis == "horizontal" else 2, self._chosen(draws)
        if images.device.type != "cpu" or images[:1].nbytes < LARGE:
            return torch.where(chosen.view(-1, 1, 1, 1), images.flip(dim), images)
        found = images.clone()
        for place in chosen.nonzero()[:, 0].tolist():
            found[place] = images[place].flip(dim - 1)
        return found

    def geometry(self, draws: Tensor, sizes: Tensor) -> Tensor:
        sign = torch.where(self._chosen(draws), -1.0, 1.0)
        return matrices(sign, xx=sign) if self.options.axis == "horizontal" else matrices(sign, yy=sign)

    def _chosen(self, draws: Tensor) -> Tensor:
        return draws[:, 0] < self.options.p


class Shift(Augmentation[options.Shift]):
    """Move by up to ``fraction`` of the side, rounded to whole pixels; what comes in is black. `resample` is exact."""

    draws = 2

    def resample(self, images: Tensor, draws: Tensor) -> Tensor:
        reach = [math.floor(self.options.fraction * side + 0.5) for side in images.shape[2:]]
        padded = F.pad(images, (reach[1], reach[1], reach[0], reach[0]))
        return windows(padded, draws, images.shape[2], images.shape[3])

    def geometry(self, draws: Tensor, sizes: Tensor) -> Tensor:
        # in float64, as Python computes it above
        return moves(draws, torch.floor(sizes.double() * self.options.fraction + 0.5).to(sizes.dtype))


class Crop(Augmentation[options.Crop]):
    """Pad every side by ``padding`` pixels and cut the old size out at random. `resample` is exact, and its padding may
    be a reflection, which a mask ignores."""

    draws = 2

    def resample(self, images: Tensor, draws: Tensor) -> Tensor:
        around = (self.options.padding,) * 4
        if self.options.fill == "black":
            padded = F.pad(images, around)
        else:  # torch reflects floats alone
            padded = F.pad(images.float(), around, mode="reflect").to(images.dtype)
        return windows(padded, draws, images.shape[2], images.shape[3])

    def geometry(self, draws: Tensor, sizes: Tensor) -> Tensor:
        return moves(draws, torch.full_like(sizes, self.options.padding))


def windows(padded: Tensor, draws: Tensor, height: int, width: int) -> Tensor:
    """From each image the window of ``height`` × ``width`` whose corner its two draws choose, all corners alike."""
    n, c, tall, wide = padded.shape
    row, column = (
        (draws[:, axis] * free).long().clamp_(max=free - 1).view(-1, 1)
        for axis, free in enumerate([tall - height + 1, wide - width + 1])
    )
    rows = row + torch.arange(height, device=padded.device)  # (N, H)
    columns = column + torch.arange(width, device=padded.device)  # (N, W)
    flat = rows[:, :, None] * wide + columns[:, None, :]  # (N, H, W)
    return padded.flatten(2).gather(2, flat.view(n, 1, -1).expand(n, c, -1)).view(n, c, height, width)


def moves(draws: Tensor, padding: Tensor) -> Tensor:
    """The matrices of `windows` of images that were padded by ``padding`` (N, 2) rows and columns on each side."""
    corners = _corners(draws, (2 * padding + 1).long())
    down, right = (corners - padding).unbind(1)
    return matrices(right, x=right, y=down)


def _corners(draws: Tensor, free: Tensor) -> Tensor:
    """int64 (N, 2): row and column, each of ``free`` places."""
    return (draws * free).long().minimum(free - 1)
