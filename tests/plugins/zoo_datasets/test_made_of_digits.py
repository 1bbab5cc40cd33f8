"""The datasets made of digits: their targets are what their images show, and no digit is in two splits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage
from zoo_datasets import made_of_digits
from zoo_datasets.digits import open_digits

from zoo.api import Options
from zoo.data.data_folder import Store

Opener = Callable[[Options, Store], made_of_digits.MadeOfDigits]


@pytest.fixture(params=[made_of_digits.open_digit_sets, made_of_digits.open_digits_rotated])
def opener(request: pytest.FixtureRequest) -> Opener:
    return request.param  # type: ignore[no-any-return]


def opened(opener: Opener) -> made_of_digits.MadeOfDigits:
    return opener(Options(), Store(download=False))


def test_it_is_the_same_each_time_and_for_good(opener: Opener) -> None:
    first = opened(opener)
    assert first.fingerprint == opened(opener).fingerprint
    assert {split: len(first.load(split).images) for split in first.parts.values()} == made_of_digits.SMALL


def test_the_labels_are_those_of_the_cells() -> None:
    digits, data = open_digits(Options(), Store(download=False)), opened(made_of_digits.open_digit_sets)
    known: dict[str, dict[bytes, int]] = {}
    for split in ("train", "test"):
        loaded = digits.load(split)
        rows = zip(np.asarray(loaded.images), np.asarray(loaded.targets), strict=True)
        known[split] = {image.tobytes(): int(label) for image, label in rows}
    seen: dict[str, set[bytes]] = {}
    for split in ("train", "val", "test"):
        loaded, source = data.load(split), known["test" if split == "test" else "train"]
        cells = np.asarray(loaded.images).reshape(-1, 2, 8, 2, 8).transpose(0, 1, 3, 2, 4).reshape(-1, 4, 64)
        seen[split] = {cell.tobytes() for cell in cells.reshape(-1, 64) if cell.any()}
        for targets, image in zip(np.asarray(loaded.targets), cells, strict=True):
            present = {source[cell.tobytes()] for cell in image if cell.any()}
            assert present == set(np.flatnonzero(targets)) and 1 <= len(present) <= 3
    assert not (seen["train"] & seen["val"]) and not (seen["train"] & seen["test"])


def test_a_rotation_is_that_of_scipy() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[10:19, 12:15] = 200  # within the window, whatever the angle
    for degrees in (-40.0, 15.0):
        expected = ndimage.rotate(image.astype(float), -degrees, reshape=False, order=1)
        found = made_of_digits.rotated(image, degrees, 1.0)
        assert np.abs(found - expected).max() <= 1
    assert made_of_digits.rotated(image, 0.0, 1.0).tolist() == image.tolist()
