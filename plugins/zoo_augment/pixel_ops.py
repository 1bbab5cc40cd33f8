"""Operations on images, each with a strength for each image: float32 (N, C, H, W) with values 0–255.

Gray weights are ITU-R 601's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def gray(images: Tensor) -> Tensor:
    """(N, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    weights = images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """``other`` at factor 0, ``images`` at 1, beyond them past that; ``factor`` (N, 1, 1, 1)."""
    return (other + factor * (images - other)).clamp_(0, 255)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    return (images * factor).clamp_(0, 255)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Away from, or towards, the mean gray of the image."""
    return blend(images, gray(images).mean((1, 2, 3), keepdim=True), factor)


def shift_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of RGB images by ``turn`` (N, 1, 1) of the colour circle, by way of HSV."""
    red, green, blue = images.div(255).unbind(1)
    value, lowest = images.div(255).amax(1), images.div(255).amin(1)
    spread = value - lowest
    safe = torch.where(spread == 0, 1.0, spread)
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixth = (sixth + 6 * turn) % 6
    # each channel of a colour of hue h: value − spread · max(0, min(k, 4 − k, 1)), k = (n + h) mod 6, for n = 5, 3, 1
    offsets = (n + sixth for n in (5, 3, 1))
    shares = [torch.minimum(k % 6, 4 - k % 6).clamp(0, 1) for k in offsets]
    return torch.stack([value - spread * share for share in shares], 1).mul_(255)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Away from, or towards, a slightly smoothed image (its border as it is)."""
    kernel = images.new_tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]]).div_(13).expand(images.shape[1], 1, 3, 3)
    smooth = images.clone()
    if min(images.shape[2:]) > 2:
        smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel, groups=images.shape[1])
    return blend(images, smooth, factor)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest ``bits`` (N, 1, 1, 1) of eight."""
    step = torch.exp2(8 - bits)
    return torch.floor(images.floor() / step) * step


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert what is at or above ``threshold`` (N, 1, 1, 1)."""
    return torch.where(images >= threshold, 255 - images, images)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch every channel to 0–255; one of a single value stays."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    spread = high - low
    return torch.where(spread > 0, (images - low) * (255 / torch.where(spread > 0, spread, 1.0)), images)


def equalize(images: Tensor) -> Tensor:
    """Even out the histogram of every channel, as pillow does it."""
    n, c, height, width = images.shape
    values = images.round().long().clamp_(0, 255).view(n * c, -1)
    counts = torch.zeros(n * c, 256, dtype=torch.int64, device=images.device).scatter_add_(
        1, values, torch.ones_like(values)
    )
    last = counts.gather(1, values.amax(1, keepdim=True))  # what the highest value counts
    step = torch.div(height * width - last, 255, rounding_mode="floor")
    below = counts.cumsum(1) - counts
    table = torch.div(
        torch.div(step, 2, rounding_mode="floor") + below, step.clamp_min(1), rounding_mode="floor"
    ).clamp_(0, 255)
    identity = torch.arange(256, device=images.device).expand_as(table)
    return torch.where(step == 0, identity, table).gather(1, values).view(n, c, height, width).to(images.dtype)
