"""How near a picture is to another."""

from __future__ import annotations

import math

import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

PEAK = 255.0


def psnr(picture: np.ndarray, original: np.ndarray) -> float:
    """The peak signal-to-noise ratio in dB of uint8 pictures of one shape, 10·log10(255² / mean squared error).

    Equal pictures have that of pictures in which one value differs by one: a finite figure can be averaged and written down.
    """
    error = float(np.square(picture.astype(np.float64) - original).mean())
    return 10 * math.log10(PEAK**2 / max(error, 1 / original.size))


def ssim(picture: np.ndarray, original: np.ndarray) -> float:
    """The structural similarity of uint8 pictures (H, W, C) (Z. Wang et al. 2004: whole windows of 11×11, σ 1.5), over all channels."""
    one, other = (torch.from_numpy(np.ascontiguousarray(each)).permute(2, 0, 1)[None].float() for each in (picture, original))
    side = min(11, *(2 * ((length - 1) // 2) + 1 for length in picture.shape[:2]))
    _, places = structural_similarity_index_measure(one, other, data_range=PEAK, kernel_size=side, return_full_image=True)
    margin = side // 2  # there windows reach beyond the picture
    height, width = picture.shape[:2]
    return float(places[..., margin : height - margin, margin : width - margin].mean())
