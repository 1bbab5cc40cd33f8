"""The zoo's own conformance kit, and what only this plugin can know of itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from zoo_example.focal import build
from zoo_example.shapes import draw

from zoo.api import Batch
from zoo.testing import check_plugin


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin("example")


def test_with_gamma_zero_the_focal_loss_is_cross_entropy() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    batch = Batch(torch.empty(6, 1, 1, 1), labels, torch.arange(6))
    assert build(gamma=0).loss(logits, batch).item() == pytest.approx(F.cross_entropy(logits, labels).item())


def test_a_shape_covers_the_area_its_size_gives() -> None:
    """A circle, a square and a triangle of one size: the areas are π r², (1.7 r)² and 3√3 (0.65 r)²."""
    areas = [(draw(np.full(400, kind), np.random.RandomState(0)) > 0.25).mean() * 28**2 for kind in range(3)]
    radius_squared = (np.random.RandomState(0).uniform(11, 17, (2, 400)), 7**2 + 4**2 / 12)[1]  # the mean of r² for r in 5…9
    expected = [np.pi * radius_squared, 1.7**2 * radius_squared, 3 * 3**0.5 * 0.65**2 * radius_squared]
    assert areas == pytest.approx(expected, rel=0.06)
