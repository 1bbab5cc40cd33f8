"""Augmentations that sample between pixels, bilinearly."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.api import Augmentation
from zoo.plugin import warp_images
from zoo_augment import options
from zoo_augment.matrices import matrices, rectangles


class Rotate(Augmentation[options.Rotate]):
    """Turn about the centre by up to ``degrees`` either way; what comes in is black."""

    draws = 1

    def geometry(self, draws: Tensor, sizes: Tensor) -> Tensor:
        angle = (2 * draws[:, 0] - 1) * math.radians(self.options.degrees)
        cos, sin = angle.cos(), angle.sin()
        return matrices(angle, xx=cos, xy=sin, yx=-sin, yy=cos)


class ResizedCrop(Augmentation[options.ResizedCrop]):
    """Cut out a share ``scale`` of the area, its width over its height in ``ratio``, and scale it to the old size."""

    draws = 4

    def geometry(self, draws: Tensor, sizes: Tensor) -> Tensor:
        return self._maps(draws, sizes[:, 0], sizes[:, 1])

    def resample(self, images: Tensor, draws: Tensor) -> Tensor:
        # by numbers, since CUDA divides by a number and by a tensor with different last bits
        return warp_images(images, self._maps(draws, images.shape[2], images.shape[3]))

    def boxes(self, draws: Tensor, sizes: Tensor) -> Tensor:
        height, width = sizes.unbind(1)
        wide, tall = self._sides(draws, height, width)
        return torch.stack([draws[:, 2] * (width - wide), draws[:, 3] * (height - tall), wide, tall], 1)

    def _sides(self, draws: Tensor, height: Tensor | int, width: Tensor | int) -> tuple[Tensor, Tensor]:
        return rectangles(draws[:, 0], draws[:, 1], width, height, self.options.scale, self.options.ratio)

    def _maps(self, draws: Tensor, height: Tensor | int, width: Tensor | int) -> Tensor:
        wide, tall = self._sides(draws, height, width)
        right = (draws[:, 2] - 0.5) * (width - wide)
        down = (draws[:, 3] - 0.5) * (height - tall)
        return matrices(wide, xx=wide / width, x=right, yy=tall / height, y=down)
