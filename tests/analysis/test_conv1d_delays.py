"""The running sum of delayed signals is the convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from zoo.analysis.conv1d_delays import delayed, draw, signal, taps
from zoo.analysis.window_arithmetic import Window


@pytest.mark.parametrize(
    "window", [Window(1), Window(4), Window(5, 2), Window(3, 1, 2), Window(3, 2, 1, 3), Window(7, 3, 3, 2)]
)
def test_the_sum_of_the_copies_is_what_torch_computes(window) -> None:
    values, weights = np.random.default_rng(0).normal(size=50), np.random.default_rng(1).normal(size=window.kernel)
    expected = functional.conv1d(
        torch.from_numpy(values)[None, None],
        torch.from_numpy(weights)[None, None],
        None,
        window.stride,
        window.padding,
        window.dilation,
    )
    np.testing.assert_allclose(delayed(values, weights, window).sum(0), expected[0, 0].numpy(), rtol=0, atol=1e-12)


def test_each_copy_is_the_signal_moved_and_weighted() -> None:
    copies = delayed(np.arange(6.0), np.array([2.0, 10.0]), Window(2))
    assert copies.tolist() == [[0, 2, 4, 6, 8], [10, 20, 30, 40, 50]]


@pytest.mark.parametrize("length", [1, 2, 64])
def test_the_example_has_its_length_and_weights_that_sum_to_one(length) -> None:
    assert signal(length).shape == (length,)
    assert taps(5).sum() == pytest.approx(1)


@pytest.mark.parametrize("window", [Window(4, 1, 2), Window(3, 2, 0, 2), Window(12)])
def test_the_image_is_drawn(window, tmp_path) -> None:
    draw(tmp_path / "delays.png", 64, window)
    with Image.open(tmp_path / "delays.png") as image:
        assert image.format == "PNG"
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 10
