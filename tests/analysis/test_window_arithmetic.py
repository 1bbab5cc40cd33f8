"""The window's formulas against torch's own layers, over a seeded sample."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from zoo.analysis.window_arithmetic import Axis, Window


def sample(count: int = 120) -> list[tuple[int, Window]]:
    chance = random.Random(0)
    found: list[tuple[int, Window]] = []
    while len(found) < count:
        kernel = chance.randint(1, 7)
        padding = chance.randint(0, kernel // 2)
        window = Window(kernel, chance.randint(1, 4), padding, chance.randint(1, 3), chance.random() < 0.5)
        side = chance.randint(1, 40)
        if side + 2 * window.padding >= window.span:
            found.append((side, window))
    return found


@pytest.mark.parametrize(("side", "window"), sample())
def test_positions_are_those_of_a_pool(side, window) -> None:
    pool = nn.MaxPool1d(window.kernel, window.stride, window.padding, window.dilation, ceil_mode=window.ceil)
    assert window.positions(side) == pool(torch.zeros(1, 1, side)).shape[-1]


@pytest.mark.parametrize(("side", "window"), [(side, window) for side, window in sample() if not window.ceil])
def test_positions_are_those_of_a_convolution(side, window) -> None:
    layer = nn.Conv1d(1, 1, window.kernel, window.stride, window.padding, window.dilation)
    assert window.positions(side) == layer(torch.zeros(1, 1, side)).shape[-1]


@pytest.mark.parametrize(
    ("side", "window", "formula"),
    [
        (32, Window(5), "32 − 5 + 1 = 28"),
        (28, Window(2, 2), "(28 − 2)/2 + 1 = 14"),
        (224, Window(7, 2, 3), "⌊(224 + 2·3 − 7)/2⌋ + 1 = 112"),
        (112, Window(3, 2, ceil=True), "⌈(112 − 3)/2⌉ + 1 = 56"),
        (16, Window(3, 1, 2, 2), "16 + 2·2 − (2·(3 − 1) + 1) + 1 = 16"),
    ],
)
def test_the_formula_has_its_terms_filled_in(side, window, formula) -> None:
    assert window.positions_formula(side) == formula


def test_what_does_not_fit_has_no_positions() -> None:
    assert Window(5).positions(4) < 1


def test_an_axis_goes_through_windows() -> None:
    """The example of Araujo, Norris and Sim: AlexNet's features see 195 pixels, one every 32 (here with its three
    pools)."""
    axis = Axis(224)
    for window in [
        Window(11, 4, 2),
        Window(3, 2),
        Window(5, 1, 2),
        Window(3, 2),
        Window(3, 1, 1),
        Window(3, 1, 1),
        Window(3, 1, 1),
        Window(3, 2),
    ]:
        axis = axis.through(window)
    assert (axis.side, axis.field, axis.stride) == (6, 195, 32)
    assert not axis.whole
    assert axis.gathered() == Axis(1, 195 + 5 * 32, 32, axis.padding, whole=True)
    assert axis.spread().field == 195


def test_the_formula_of_a_field() -> None:
    assert Axis(32, field=6, stride=2).field_formula(Window(5)) == "6 + (5 − 1)·2 = 14"
    assert Axis(32).field_formula(Window(3, dilation=2)) == "1 + (5 − 1) = 5"
