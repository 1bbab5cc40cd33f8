"""Random augmentation, a batch at once on the device. What a sample gets depends on (seed, epoch, its index) alone.

A picture here is uint8 or float32 (C, H, W) with values 0–255; a kernel takes (N, C, H, W) and uniform draws in [0, 1),
float32 (N, k), a row a sample. Kernels that move whole pixels keep uint8; the others compute in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.config.augmentation_options import (
    ColorJitter,
    Crop,
    Erase,
    Flip,
    PCANoise,
    ResizedCrop,
    Rotate,
    Shift,
    Step,
    TrivialAugment,
    build_steps,
)
from zoo.data import trivial_augment
from zoo.data.pixel_ops import blend, brightness, contrast, grey, shift_hue, warp
from zoo.support import counter_random

PCA_IMAGES = 5000
"""At most so many pictures, evenly spaced over the part, tell the principal components of its colours."""

Kernel = Callable[[Tensor, Tensor], Tensor]


class Augmenter:
    """The steps of a specification, for one part.

    ``images`` is all of it, uint8 (N, C, H, W); ``mean`` its colour, 0–1 a channel.
    """

    def __init__(
        self, specification: Sequence[dict[str, dict[str, Any]]], seed: int, images: Tensor, mean: Sequence[float]
    ) -> None:
        self._seed = seed
        self._kernels = [_kernel(step, images, mean) for step in build_steps(specification)]

    def of_epoch(self, epoch: int) -> Callable[[Tensor, np.ndarray], Tensor]:
        """A function of pictures (N, C, H, W), 0–255, and their indices (N,) in the part; the pictures come back
        changed, of the same size."""
        return partial(self._apply, epoch)

    def _apply(self, epoch: int, images: Tensor, indices: np.ndarray) -> Tensor:
        for position, (count, kernel) in enumerate(self._kernels):
            draws = counter_random.uniforms(self._seed, counter_random.AUGMENT + position, epoch, indices, count)
            images = kernel(images, torch.from_numpy(draws).to(images.device))
        return images


def _kernel(step: Step, images: Tensor, mean: Sequence[float]) -> tuple[int, Kernel]:
    """How many draws a sample a step needs, and the function that takes it."""
    match step:
        case Flip():
            made: tuple[int, Kernel] = 1, partial(flip, p=step.p, dim=3 if step.axis == "horizontal" else 2)
        case Shift():
            made = 2, partial(shift, fraction=step.fraction)
        case Crop():
            made = 2, partial(crop, padding=step.padding, mode="constant" if step.fill == "black" else "reflect")
        case Rotate():
            made = 1, partial(rotate, degrees=step.degrees)
        case ResizedCrop():
            made = 4, partial(resized_crop, scale=step.scale, ratio=step.ratio)
        case ColorJitter():
            made = 4, partial(color_jitter, step=step)
        case PCANoise():
            made = 6, partial(pca_noise, components=principal_components(images), sd=step.sd)
        case Erase():
            fill = torch.tensor(mean, dtype=torch.float32).mul(255).view(1, -1, 1, 1)
            made = 5, partial(erase, p=step.p, scale=step.scale, ratio=step.ratio, fill=fill)
        case TrivialAugment():
            made = trivial_augment.DRAWS, trivial_augment.apply
        case _:
            raise TypeError(f"no kernel for {type(step).__name__}")
    return made


# --------------------------------------------------------------------------------------------------------- whole pixels


def flip(images: Tensor, draws: Tensor, *, p: float, dim: int) -> Tensor:
    """Mirror along ``dim`` (3: left and right) with probability ``p``."""
    return torch.where((draws[:, 0] < p).view(-1, 1, 1, 1), images.flip(dim), images)


def shift(images: Tensor, draws: Tensor, *, fraction: float) -> Tensor:
    """Move by up to ``fraction`` of the side, rounded to whole pixels; what comes in is black."""
    reach = [math.floor(fraction * side + 0.5) for side in images.shape[2:]]
    padded = F.pad(images, (reach[1], reach[1], reach[0], reach[0]))
    return _windows(padded, draws, images.shape[2], images.shape[3])


def crop(images: Tensor, draws: Tensor, *, padding: int, mode: str) -> Tensor:
    """Pad every side by ``padding`` pixels and cut the old size out at random."""
    if mode == "reflect" and not images.is_floating_point():
        padded = F.pad(images.float(), (padding,) * 4, mode=mode).to(images.dtype)  # torch reflects floats alone
    else:
        padded = F.pad(images, (padding,) * 4, mode=mode)
    return _windows(padded, draws, images.shape[2], images.shape[3])


def _windows(padded: Tensor, draws: Tensor, height: int, width: int) -> Tensor:
    """From each picture the window of ``height`` × ``width`` whose corner its two draws choose, all corners alike."""
    n, c, tall, wide = padded.shape
    free = torch.tensor([tall - height + 1, wide - width + 1], device=padded.device)
    corners = (draws * free).long().minimum(free - 1)
    rows = corners[:, :1] + torch.arange(height, device=padded.device)  # (N, H)
    columns = corners[:, 1:] + torch.arange(width, device=padded.device)  # (N, W)
    flat = rows[:, :, None] * wide + columns[:, None, :]  # (N, H, W)
    return padded.flatten(2).gather(2, flat.view(n, 1, -1).expand(n, c, -1)).view(n, c, height, width)


def erase(
    images: Tensor, draws: Tensor, *, p: float, scale: tuple[float, float], ratio: tuple[float, float], fill: Tensor
) -> Tensor:
    """Paint a rectangle of a share ``scale`` of the area, its height over its width in ``ratio`` (log-uniform), with
    probability ``p``."""
    height, width = images.shape[2:]
    tall, wide = (side.floor() for side in _rectangle(draws[:, 1], draws[:, 2], height, width, scale, ratio))
    top, left = (draws[:, 3] * (height - tall + 1)).floor(), (draws[:, 4] * (width - wide + 1)).floor()
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    inside_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])  # (N, H)
    inside_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])  # (N, W)
    chosen = (draws[:, 0] < p).view(-1, 1, 1) & inside_rows[:, :, None] & inside_columns[:, None, :]
    return torch.where(chosen[:, None], fill.to(images.device), images.float())


def _rectangle(
    area: Tensor, aspect: Tensor, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Height and width (N,) of rectangles of a share of the area, at most the whole sides."""
    share = scale[0] + area * (scale[1] - scale[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    root = torch.exp(0.5 * (low + aspect * (high - low)))  # the square root of height : width
    side = torch.sqrt(share * (height * width))
    return (side * root).clamp(1, height), (side / root).clamp(1, width)


# ------------------------------------------------------------------------------------------------------- between pixels


def rotate(images: Tensor, draws: Tensor, *, degrees: float) -> Tensor:
    """Turn about the centre by up to ``degrees`` either way, bilinear; what comes in is black."""
    angle = (2 * draws[:, 0] - 1) * math.radians(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return warp(images, torch.stack([cos, sin, zero, -sin, cos, zero], 1).view(-1, 2, 3))


def resized_crop(images: Tensor, draws: Tensor, *, scale: tuple[float, float], ratio: tuple[float, float]) -> Tensor:
    """Cut out a share ``scale`` of the area, its width over its height in ``ratio``, and scale it bilinearly to the old
    size."""
    height, width = images.shape[2:]
    wide, tall = _rectangle(draws[:, 0], draws[:, 1], width, height, scale, ratio)
    right = (draws[:, 2] - 0.5) * (width - wide)
    down = (draws[:, 3] - 0.5) * (height - tall)
    zero = torch.zeros_like(wide)
    return warp(images, torch.stack([wide / width, zero, right, zero, tall / height, down], 1).view(-1, 2, 3))


# -------------------------------------------------------------------------------------------------------------- colours


def color_jitter(images: Tensor, draws: Tensor, *, step: ColorJitter) -> Tensor:
    """Brightness, contrast, saturation and hue, in this order; grey pictures have no saturation and hue."""

    def factor(column: int, reach: float) -> Tensor:
        return (1 + (2 * draws[:, column] - 1) * reach).clamp_min(0).view(-1, 1, 1, 1)

    images = brightness(images.float(), factor(0, step.brightness)) if step.brightness else images.float()
    images = contrast(images, factor(1, step.contrast)) if step.contrast else images
    if images.shape[1] == 3 and step.saturation:
        images = blend(images, grey(images), factor(2, step.saturation))
    if images.shape[1] == 3 and step.hue:
        images = shift_hue(images, ((2 * draws[:, 3] - 1) * step.hue).view(-1, 1, 1))
    return images


def principal_components(images: Tensor) -> Tensor:
    """Eigenvalue times eigenvector of the covariance of the pixels' colours (0–1), a component a column, float32 (C,
    C), on the images' device.

    An eigenvector's sign is free, and libraries choose it differently: here its largest entry is positive, so that a
    seed means the same everywhere.
    """
    every = max(1, len(images) // PCA_IMAGES)
    values = images[::every].permute(1, 0, 2, 3).flatten(1).double().div_(255)
    eigenvalues, vectors = torch.linalg.eigh(torch.cov(values).view(len(values), len(values)).cpu())
    signs = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    components: Tensor = (vectors * signs * eigenvalues.clamp_min(0)).float().to(images.device)
    return components


def pca_noise(images: Tensor, draws: Tensor, *, components: Tensor, sd: float) -> Tensor:
    """Add [p₁ p₂ p₃][α₁λ₁ α₂λ₂ α₃λ₃]ᵀ to every pixel of a picture, α from N(0, sd) (AlexNet, section 4.1)."""
    count = components.shape[1]
    radius = (-2 * (1 - draws[:, :count]).log()).sqrt()  # Box and Muller
    alpha = radius * (2 * math.pi * draws[:, 3 : 3 + count]).cos() * sd
    noise = alpha @ components.to(images.device).T * 255  # (N, C)
    return (images.float() + noise[:, :, None, None]).clamp_(0, 255)
