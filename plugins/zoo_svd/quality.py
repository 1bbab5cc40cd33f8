"""Image quality metrics: PSNR and SSIM."""

from __future__ import annotations

import math

import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

PEAK = 255.0
WINDOW, SIGMA = 11, 1.5
"""Pixels, of the structural similarity."""


def psnr(image: np.ndarray, original: np.ndarray) -> float:
    """The peak signal-to-noise ratio in dB of uint8 images of one shape, 10·log10(255² / mean squared error).

    Equal images have that of images in which one value differs by one: a finite figure can be averaged and written
    down.
    """
    error = float(np.square(image.astype(np.float64) - original).mean())
    return 10 * math.log10(PEAK**2 / max(error, 1 / original.size))


def ssim(image: np.ndarray, original: np.ndarray) -> float:
    """The structural similarity of uint8 images (H, W, C) (Z. Wang et al. 2004: whole windows of 11×11, σ 1.5), over
    all channels.

    Along a side of fewer than 11 pixels the window is the largest that fits, with a σ in proportion.
    """
    one, other = (
        torch.from_numpy(np.ascontiguousarray(each)).permute(2, 0, 1)[None].float() for each in (image, original)
    )
    reach = [min(WINDOW, side - 1 + side % 2) // 2 for side in image.shape[:2]]
    # torchmetrics' windows reach to 3.5 σ
    sigma = [SIGMA if each == WINDOW // 2 else max(each, 0.1) / 3.5 for each in reach]
    _, places = structural_similarity_index_measure(one, other, data_range=PEAK, sigma=sigma, return_full_image=True)
    # elsewhere windows reach beyond it
    rows, columns = (slice(each, side - each) for each, side in zip(reach, image.shape[:2], strict=True))
    return float(places[..., rows, columns].mean())
