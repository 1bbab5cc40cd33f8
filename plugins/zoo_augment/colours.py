"""Augmentations that change values but not positions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.api import Augmentation
from zoo_augment import options
from zoo_augment.matrices import rectangles
from zoo_augment.pixel_ops import blend, brightness, contrast, gray, shift_hue


class ColorJitter(Augmentation[options.ColorJitter]):
    """Brightness, contrast, saturation and hue, in this order; gray images have no saturation and hue."""

    draws = 4

    def pixels(self, images: Tensor, draws: Tensor) -> Tensor:
        reach = self.options

        def factor(column: int, reach: float) -> Tensor:
            return (1 + (2 * draws[:, column] - 1) * reach).clamp_min(0).view(-1, 1, 1, 1)

        images = brightness(images.float(), factor(0, reach.brightness)) if reach.brightness else images.float()
        images = contrast(images, factor(1, reach.contrast)) if reach.contrast else images
        if images.shape[1] == 3 and reach.saturation:
            images = blend(images, gray(images), factor(2, reach.saturation))
        if images.shape[1] == 3 and reach.hue:
            images = shift_hue(images, ((2 * draws[:, 3] - 1) * reach.hue).view(-1, 1, 1))
        return images


class PCANoise(Augmentation[options.PCANoise]):
    """Add [p₁ p₂ p₃][α₁λ₁ α₂λ₂ α₃λ₃]ᵀ to every pixel of an image, α from N(0, sd) (AlexNet, section 4.1)."""

    draws = 6

    def fit(self, images: Tensor, mean: Sequence[float]) -> None:
        self.components = principal_components(images)

    def pixels(self, images: Tensor, draws: Tensor) -> Tensor:
        count = self.components.shape[1]
        self.components = self.components.to(images.device)
        radius = (-2 * (1 - draws[:, :count]).log()).sqrt()  # Box and Muller
        alpha = radius * (2 * math.pi * draws[:, 3 : 3 + count]).cos() * self.options.sd
        noise = alpha @ self.components.T * 255  # (N, C)
        return (images.float() + noise[:, :, None, None]).clamp_(0, 255)


def principal_components(images: Tensor) -> Tensor:
    """Eigenvalue times eigenvector of the covariance of the pixels' colours (0–1), a component a column, float32 (C,
    C), on the images' device.

    An eigenvector's sign is free, and libraries choose it differently: here its largest entry is positive, so that a
    seed means the same everywhere.
    """
    values = images.permute(1, 0, 2, 3).flatten(1).double().div_(255)
    eigenvalues, vectors = torch.linalg.eigh(torch.cov(values).view(len(values), len(values)).cpu())
    signs = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    components: Tensor = (vectors * signs * eigenvalues.clamp_min(0)).float().to(images.device)
    return components


class Erase(Augmentation[options.Erase]):
    """Paint a rectangle of a share ``scale`` of the area, its height over its width in ``ratio`` (log-uniform), with
    probability ``p``. The mask keeps its classes below it."""

    draws = 5

    def fit(self, images: Tensor, mean: Sequence[float]) -> None:
        self.fill = torch.tensor(mean, dtype=torch.float32).mul(255).view(1, -1, 1, 1)

    def pixels(self, images: Tensor, draws: Tensor) -> Tensor:
        self.fill = self.fill.to(images.device)
        height, width = images.shape[2:]
        sides = rectangles(draws[:, 1], draws[:, 2], height, width, self.options.scale, self.options.ratio)
        tall, wide = (side.floor() for side in sides)
        top, left = (draws[:, 3] * (height - tall + 1)).floor(), (draws[:, 4] * (width - wide + 1)).floor()
        rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
        inside_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])  # (N, H)
        inside_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])  # (N, W)
        chosen = (draws[:, 0] < self.options.p).view(-1, 1, 1) & inside_rows[:, :, None] & inside_columns[:, None, :]
        return torch.where(chosen[:, None], self.fill, images.float())
