"""Digits on photographs: what a pixel is of, against a slow loop over one image; splits that share nothing."""

from __future__ import annotations

import numpy as np
import pytest
from zoo_datasets.digits import Digits
from zoo_datasets.on_photos import OnPhotos, Scenes, enlarged
from zoo_datasets.photos import Photos

SIDE = 32


@pytest.fixture(scope="module")
def dataset() -> OnPhotos:
    return OnPhotos(Digits(), SIDE, 4, enlarge=True)


def test_the_splits_are_those_of_the_digits(dataset: OnPhotos) -> None:
    for name, photos in (("train", 480), ("test", 160)):
        labels = np.asarray(Digits().load(name).targets)
        scenes = dataset.scenes[name]
        assert len(scenes) == (labels < 4).sum() and scenes.photos.shape == (2, 3, 427, photos)
    assert dataset.target.names == ("background", "0", "1", "2", "3") and dataset.target.ignore == 255


def test_an_image_is_a_digit_laid_over_a_piece_of_a_photograph(dataset: OnPhotos) -> None:
    split, scenes = dataset.load("train"), dataset.scenes["train"]
    assert isinstance(split.images, np.ndarray) and isinstance(split.targets, np.ndarray)
    photos = np.asarray(Photos().load("photos").images)
    for index in (0, 7, 300):
        top, left, row, column = (each[index] for each in (scenes.top, scenes.left, scenes.row, scenes.column))
        piece = photos[scenes.photo[index], :, top : top + SIDE, left : left + SIDE].astype(int)
        opacity = np.zeros((SIDE, SIDE), int)
        opacity[row : row + 16, column : column + 16] = scenes.digits[index]
        expected = piece // 2 * (1 - opacity / 255) + scenes.colour[index][:, None, None] * (opacity / 255)
        assert np.abs(split.images[index] - expected).max() <= 0.51  # rounded to whole values
        assert np.array_equal(split.targets[index] > 0, opacity >= 128)
        assert set(np.unique(split.targets[index])) == {0, 1 + scenes.labels[index]}


def test_any_samples_are_the_same_ones_and_another_seed_gives_others(dataset: OnPhotos) -> None:
    scenes, rows = dataset.scenes["test"], np.array([5, 2, 5])
    whole = dataset.load("test")
    assert np.array_equal(scenes.images(rows), np.asarray(whole.images)[rows])
    assert np.array_equal(scenes.targets(rows), np.asarray(whole.targets)[rows])
    other = Scenes(scenes.digits, scenes.labels, scenes.photos, SIDE, 9)
    assert not np.array_equal(other.images(rows), scenes.images(rows))


def test_the_masks_are_the_same_on_every_machine(dataset: OnPhotos) -> None:
    """(The pixels of the photographs depend on the decoder of JPEG.)"""
    assert int(np.asarray(dataset.load("test").targets).sum()) == 28290
    assert OnPhotos(Digits(), SIDE, 4, enlarge=True).fingerprint == dataset.fingerprint
    assert OnPhotos(Digits(), SIDE, 5, enlarge=True).fingerprint != dataset.fingerprint


def test_digits_are_enlarged_bilinearly() -> None:
    """The other implementation is numpy's interpolation, one axis after the other."""
    small = np.random.RandomState(0).randint(0, 256, (3, 4, 5)).astype(np.uint8)
    found = enlarged(small)
    assert found.shape == (3, 8, 10)
    rows, columns = ((np.arange(2 * side) + 0.5) / 2 - 0.5 for side in (4, 5))
    for image, large in zip(small.astype(float), found, strict=True):
        tall = np.stack([np.interp(rows, np.arange(4), column) for column in image.T], 1)
        wide = np.stack([np.interp(columns, np.arange(5), row) for row in tall])
        assert np.abs(large - wide).max() <= 1.01  # each axis is rounded
