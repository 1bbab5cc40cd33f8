"""Figures as people read them."""

from __future__ import annotations

import pytest

from zoo.support.formatting import duration, figure, plural, spread


@pytest.mark.parametrize(
    ("metric", "number", "text"),
    [
        ("accuracy", 0.97531, "accuracy 97.53%"),
        ("select_top5_accuracy", 1.0, "select top-5 accuracy 100.00%"),
        ("macro_f1", 0.97531, "macro F1 0.9753"),
        ("loss", 0.1, "loss 0.1000"),
    ],
)
def test_accuracies_are_percentages(metric, number, text) -> None:
    assert figure(metric, number) == text


def test_a_spread_is_told_like_its_mean() -> None:
    assert spread("accuracy", 0.9, 0.012) == "90.00% ± 1.20%" and spread("loss", 0.9, 0.012) == "0.9000 ± 0.0120"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (0.04, "0.0 s"), (59.94, "59.9 s"), (60.0, "1 min 00 s"), (7260.0, "2 h 01 min")]
)
def test_durations(seconds, text) -> None:
    assert duration(seconds) == text


def test_plurals() -> None:
    assert [plural(1, "seed"), plural(2, "seed"), plural(0, "entry"), plural(1234, "image")] == [
        "1 seed",
        "2 seeds",
        "0 entries",
        "1,234 images",
    ]
