"""The zoo's own conformance kit, and what only this plugin can know of itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from zoo_example.focal import focal
from zoo_example.shapes import draw

from zoo.testing import check_plugin


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin("example")


def test_with_gamma_zero_the_focal_loss_is_cross_entropy() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    assert focal(logits, labels, 0.0).mean().item() == pytest.approx(F.cross_entropy(logits, labels).item())


def test_a_shape_covers_the_area_that_its_size_gives() -> None:
    """Of a circle, a square and a triangle of size r: π r², (1.7 r)² and 3√3 (0.65 r)², with r even in 5…9 and
    brightness in 0.5…1."""
    light = [draw(np.full(2000, kind), np.random.RandomState(0)).sum((1, 2)).mean() for kind in range(3)]
    mean_square, mean_brightness = 7**2 + 4**2 / 12, 0.75
    expected = [area * mean_square * mean_brightness for area in (np.pi, 1.7**2, 3 * 3**0.5 * 0.65**2)]
    assert light == pytest.approx(expected, rel=0.03)
