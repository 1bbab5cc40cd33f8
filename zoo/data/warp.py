"""Affine resampling of images and masks (`zoo.api.Augmentation.geometry`)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.to_device import numbers_on


def warp_images(images: Tensor, maps: Tensor) -> Tensor:
    """Return images (N, C, H, W) resampled bilinearly, float32, black outside.

    ``maps`` (N, 2, 3) map a point (x, y) of the output, in pixels from its centre, to a point of the input.
    """
    height, width = images.shape[2:]
    sides = numbers_on([width / 2, height / 2], images.device)
    # in torch's units, -1 to 1
    scaled = torch.cat([maps[:, :, :2] * sides[None, None, :], maps[:, :, 2:]], 2) / sides[None, :, None]
    grid = F.affine_grid(scaled, [len(images), images.shape[1], height, width], align_corners=False)
    return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def warp_masks(masks: Tensor, maps: Tensor, fill: int) -> Tensor:
    """Return masks (N, H, W) of any dtype resampled to the nearest pixel, ``fill`` outside.

    It does not use `grid_sample`, whose normalised coordinates round: a shift by whole pixels must be exact.
    """
    n, height, width = masks.shape
    column, row = source_points(maps, height, width)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    flat = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
    found = masks.flatten(1).gather(1, flat.view(n, -1)).view_as(masks)
    return found.masked_fill_(~inside, fill)


def source_points(maps: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return column and row (N, H, W) of the input pixel that contains the centre of each output pixel, as integers
    (outside the image, too)."""
    x = torch.arange(width, device=maps.device, dtype=maps.dtype) + (0.5 - width / 2)
    y = (torch.arange(height, device=maps.device, dtype=maps.dtype) + (0.5 - height / 2)).view(-1, 1)
    xx, xy, right, yx, yy, down = (entry.view(-1, 1, 1) for entry in maps.flatten(1).unbind(1))
    column = (xx * x + xy * y + right + width / 2).floor_()
    row = (yx * x + yy * y + down + height / 2).floor_()
    return column, row
