"""Datasets with several labels or with a number for each image, made of the digits of another dataset.

    digit_sets, mnist_sets          a black canvas with 1 to 3 digits in cells of a 2 × 2 grid; the labels are the
                                    digits that are there
    digits_rotated, mnist_rotated   one digit, rotated clockwise about the centre by an angle from -45° to 45°

They are synthetic: they show that a method works, not how well it works on photographs. Each split is made of digits
that no other split has: train and val of the training digits, four fifths and one fifth of them, test of the test
digits. All draws are from numpy's `RandomState`, whose stream never changes. A rotation starts from how the digit was
written, whose own slant no network can know: the error has a floor of several degrees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np

from zoo.api import Dataset, DatasetStore, MultiLabel, Options, Part, Split, Values
from zoo_datasets import TEN_DIGITS
from zoo_datasets.digits import open_digits
from zoo_datasets.mnist import open_mnist

Make = Callable[[np.ndarray, np.ndarray, int, np.random.RandomState], tuple[np.ndarray, np.ndarray]]
"""Makes images and targets of digits uint8 (n, H, W), their labels (n,), the number of images, and a stream."""
SIDE = 28
"""Of rotated digits, in pixels."""
MOST_DEGREES = 45.0


class MadeOfDigits(Dataset):
    """The implementation of `zoo.api.Dataset`, over a dataset of digits with the splits train and test."""

    parts: Mapping[Part, str] = {"train": "train", "val": "val", "test": "test"}

    def __init__(
        self, digits: Dataset, target: MultiLabel | Values, make: Make, counts: Mapping[str, int], seed: int = 0
    ) -> None:
        self._digits, self._target, self._make, self._counts, self._seed = digits, target, make, counts, seed

    @property
    def target(self) -> MultiLabel | Values:
        return self._target

    def load(self, split: str) -> Split:
        images, targets = self._splits[split]
        return Split(images, targets)

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for split in self._counts:
            images, targets = self._splits[split]
            digest.update(images.tobytes())
            digest.update(np.asarray(targets, targets.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    @cached_property
    def _splits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        stream = np.random.RandomState(self._seed)
        train, test = (self._digits.load(split) for split in ("train", "test"))
        order = stream.permutation(len(train.images))
        aside = len(order) // 5
        rows: dict[str, tuple[Split, np.ndarray]] = {
            "train": (train, order[aside:]),
            "val": (train, order[:aside]),
            "test": (test, np.arange(len(test.images))),
        }
        made = {}
        for split, count in self._counts.items():
            source, chosen = rows[split]
            digits = np.asarray(source.images)[chosen][:, 0]
            made[split] = self._make(digits, np.asarray(source.targets)[chosen], count, stream)
        return made


def make_sets(cells: int, most: int) -> Make:
    """Return a function that draws 1 to ``most`` digits into different cells of a grid of ``cells`` × ``cells``.

    Its images are uint8 (count, 1, cells·H, cells·W), its targets uint8 (count, 10). A digit may be there twice.
    """

    def make(
        digits: np.ndarray, labels: np.ndarray, count: int, stream: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        side = digits.shape[-1]
        images = np.zeros((count, 1, cells * side, cells * side), np.uint8)
        targets = np.zeros((count, len(TEN_DIGITS)), np.uint8)
        for index in range(count):
            for cell in stream.permutation(cells**2)[: stream.randint(1, most + 1)]:
                row, (top, left) = stream.randint(len(digits)), np.multiply(divmod(int(cell), cells), side)
                images[index, 0, top : top + side, left : left + side] = digits[row]
                targets[index, labels[row]] = 1
        return images, targets

    return make


def make_rotated(
    digits: np.ndarray, _labels: np.ndarray, count: int, stream: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Return rotated digits, uint8 (count, 1, 28, 28), and their angles in degrees, float32 (count, 1).

    A digit of less than 20 pixels is enlarged to 20.
    """
    chosen = stream.randint(len(digits), size=count)
    degrees = stream.uniform(-MOST_DEGREES, MOST_DEGREES, count)
    side = digits.shape[-1]
    scale = 20 / side if side < 20 else 1.0
    images = [rotated(digits[row], angle, scale) for row, angle in zip(chosen, degrees, strict=True)]
    return np.stack(images)[:, None], degrees.astype(np.float32)[:, None]


def rotated(image: np.ndarray, degrees: float, scale: float) -> np.ndarray:
    """Return an image rotated clockwise about its centre and enlarged, sampled bilinearly, uint8 (28, 28)."""
    angle = np.deg2rad(degrees)
    down, across = (np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2) / scale
    centre = (image.shape[0] - 1) / 2
    # the point of the source that each pixel comes from, with a border of one black pixel
    x = np.cos(angle) * across + np.sin(angle) * down + centre + 1
    y = -np.sin(angle) * across + np.cos(angle) * down + centre + 1
    padded = np.pad(image.astype(np.float64), 1)
    x, y = (np.clip(each, 0, padded.shape[0] - 1.001) for each in (x, y))
    left, top = x.astype(int), y.astype(int)
    right, bottom = x - left, y - top
    upper = padded[top, left] * (1 - right) + padded[top, left + 1] * right
    lower = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * right
    return np.asarray(np.rint(upper * (1 - bottom) + lower * bottom).astype(np.uint8))


LABELS = MultiLabel(names=TEN_DIGITS)
ANGLE = Values(names=("angle",), units=("°",))
SMALL = {"train": 3000, "val": 500, "test": 500}
LARGE = {"train": 12_000, "val": 2000, "test": 2000}


def open_digit_sets(options: Options, store: DatasetStore) -> MadeOfDigits:
    return MadeOfDigits(open_digits(options, store), LABELS, make_sets(cells=2, most=3), SMALL)


def open_digits_rotated(options: Options, store: DatasetStore) -> MadeOfDigits:
    return MadeOfDigits(open_digits(options, store), ANGLE, make_rotated, SMALL)


def open_mnist_sets(options: Options, store: DatasetStore) -> MadeOfDigits:
    """Raises DataError as `zoo_datasets.mnist.open_mnist`."""
    return MadeOfDigits(open_mnist(options, store), LABELS, make_sets(cells=2, most=3), LARGE)


def open_mnist_rotated(options: Options, store: DatasetStore) -> MadeOfDigits:
    """Raises DataError as `zoo_datasets.mnist.open_mnist`."""
    return MadeOfDigits(open_mnist(options, store), ANGLE, make_rotated, LARGE)
