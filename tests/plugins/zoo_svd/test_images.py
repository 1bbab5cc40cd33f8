"""Images by singular values; their files, their decoder, their commands."""

from __future__ import annotations

import numpy as np
import pytest
from zoo_svd.images import as_image, as_matrix
from zoo_svd.quality import psnr, ssim


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    """An image uint8 (C, H, W) with a spectrum that falls as a photograph's does."""
    numbers = np.random.default_rng(height * width)
    rows, columns = np.linspace(0, 6, height)[:, None], np.linspace(0, 9, width)
    waves = [np.sin(rows * (1 + c) + columns) + np.cos(rows * columns * (0.4 + 0.2 * c)) for c in range(channels)]
    return np.clip(128 + 50 * np.stack(waves) + numbers.normal(0, 8, (channels, height, width)), 0, 255).astype(
        np.uint8
    )


# ---------------------------------------------------------------------------------------------------- images, quality


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_goes_to_a_matrix_and_back(channels) -> None:
    image = smooth(6, 5, channels)
    matrix = as_matrix(image)
    assert matrix.shape == (6, 5 * channels) and matrix[2, 3 * channels + channels - 1] == image[-1, 2, 3]
    assert np.array_equal(as_image(matrix, channels), image.transpose(1, 2, 0))


def test_values_are_clipped_before_they_are_cast() -> None:
    assert as_image(np.array([[-3.0, 255.4, 260.0, 0.6]]), 1).ravel().tolist() == [0, 255, 255, 1]


def test_psnr_and_ssim_are_what_they_are_defined_as() -> None:
    one = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    other = np.clip(one.astype(int) + 5, 0, 255).astype(np.uint8)
    error = np.square(one.astype(float) - other).mean()
    assert psnr(other, one) == pytest.approx(20 * np.log10(255 / np.sqrt(error)))
    assert psnr(one, one) == pytest.approx(10 * np.log10(255**2 * one.size)) and ssim(one, one) == pytest.approx(1)
    assert ssim(255 - one, one) < 0.2


def test_ssim_is_the_mean_over_gaussian_windows() -> None:
    """Against the formula itself (Wang et al. 2004, equation 13), window by window."""
    numbers = np.random.default_rng(1)
    one = numbers.integers(0, 256, (24, 24, 1), dtype=np.uint8)
    other = np.clip(one + numbers.normal(0, 20, one.shape), 0, 255).astype(np.uint8)
    axis = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    found = []
    for top in range(24 - 10):
        for left in range(24 - 10):
            x, y = (each[top : top + 11, left : left + 11, 0].astype(float) for each in (one, other))
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy, cov = (
                (window * x * x).sum() - mx**2,
                (window * y * y).sum() - my**2,
                (window * x * y).sum() - mx * my,
            )
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            found.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    assert ssim(other, one) == pytest.approx(np.mean(found), abs=1e-5)
