"""Handwritten digits on photographs, with a mask: the class of each pixel is the background or the digit.

The images are made, not found: a digit of `digits` (8×8 pixels, enlarged to 16×16) or of MNIST (28×28) is laid over a
piece of scikit-learn's two photographs at half their brightness, in a bright colour, its gray value as opacity. A pixel
is of the digit where its opacity is at least one half. The splits of the digits are kept, and the test split takes the
right quarter of the photographs, of which the train split sees nothing. Places and colours are drawn by
``RandomState``, whose stream numpy never changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property

import numpy as np

from zoo.api import Dataset, DatasetStore, Mask, Options, Part, SampleSource, Split
from zoo_datasets.digits import Digits
from zoo_datasets.mnist import open_mnist
from zoo_datasets.options import OnPhotosOptions
from zoo_datasets.photos import Photos

TRAIN_SHARE = 0.75
"""The left part of the photographs, for the train split; the test split takes the rest."""
SMALL = 5000
"""The samples up to which a split is made at once: 50 MB at 48×48."""
COLOURS = (144, 256)
"""Values of red, green and blue of a digit."""


class Scenes(SampleSource):
    """Digits, uint8 (N, h, w), with labels (N,) on square pieces of the photographs, uint8 (P, 3, H, W)."""

    def __init__(self, digits: np.ndarray, labels: np.ndarray, photos: np.ndarray, side: int, seed: int) -> None:
        self.digits, self.labels, self.photos, self.side = digits, labels, photos, side
        count, random = len(digits), np.random.RandomState(seed)
        self.photo = random.randint(len(photos), size=count)
        self.top, self.left = (random.randint(extent - side + 1, size=count) for extent in photos.shape[2:])
        self.row, self.column = (random.randint(side - extent + 1, size=count) for extent in digits.shape[1:])
        self.colour = random.randint(*COLOURS, size=(count, 3))

    def __len__(self) -> int:
        return len(self.digits)

    def images(self, indices: np.ndarray) -> np.ndarray:
        """uint8 (n, 3, side, side)."""
        rows, columns = (
            start[indices, None] + np.arange(self.side) for start in (self.top, self.left)
        )  # (n, side) each
        pieces = self.photos[
            self.photo[indices, None, None, None], np.arange(3)[:, None, None], rows[:, None, :, None],
            columns[:, None, None, :],
        ].astype(np.int64)  # fmt: skip
        colour = self.colour[indices][:, :, None, None]
        opacity = self._opacity(indices).astype(np.int64)[:, None]
        return np.asarray((pieces // 2 * (255 - opacity) + colour * opacity + 127) // 255, np.uint8)

    def targets(self, indices: np.ndarray) -> np.ndarray:
        """uint8 (n, side, side)."""
        ink = self._opacity(indices) >= 128
        return np.asarray(ink * (1 + self.labels[indices])[:, None, None], np.uint8)

    def _opacity(self, indices: np.ndarray) -> np.ndarray:
        """uint8 (n, side, side): the digits, each at its place."""
        _, height, width = self.digits.shape
        laid = np.zeros((len(indices), self.side, self.side), np.uint8)
        rows = self.row[indices, None] + np.arange(height)
        columns = self.column[indices, None] + np.arange(width)
        laid[np.arange(len(indices))[:, None, None], rows[:, :, None], columns[:, None, :]] = self.digits[indices]
        return laid


class OnPhotos(Dataset):
    """The implementation of `zoo.api.Dataset`, over the scenes of each split."""

    parts: Mapping[Part, str] = {"train": "train", "test": "test"}

    def __init__(self, digits: Dataset, side: int, count: int, *, enlarge: bool) -> None:
        """``count``: the digits from 0 on that are taken."""
        self._digits, self._side, self._count, self._enlarge = digits, side, count, enlarge
        self._target = Mask(names=("background", *map(str, range(count))))

    @property
    def target(self) -> Mask:
        return self._target

    def load(self, split: str) -> Split:
        """Small splits as arrays, which are made once; others on demand."""
        scenes = self.scenes[split]
        if len(scenes) > SMALL:
            return Split(scenes)
        rows = np.arange(len(scenes))
        return Split(scenes.images(rows), scenes.targets(rows))

    @cached_property
    def fingerprint(self) -> str:
        """Over what the images are made of, and a number for how: raise it with every change of this file that changes
        them."""
        digest = hashlib.sha256(f"on photos 1 {self._side} {self._count} {self._digits.fingerprint}".encode())
        digest.update(_photos().tobytes())
        return digest.hexdigest()

    @cached_property
    def scenes(self) -> dict[str, Scenes]:
        photos = _photos()
        border = round(TRAIN_SHARE * photos.shape[3])
        pieces = {"train": photos[..., :border], "test": photos[..., border:]}
        scenes = {}
        for seed, (split, photographs) in enumerate(pieces.items()):
            loaded = self._digits.load(split)
            labels = np.asarray(loaded.targets)
            digits = np.asarray(loaded.images)[labels < self._count, 0]
            labels = labels[labels < self._count]
            scenes[split] = Scenes(enlarged(digits) if self._enlarge else digits, labels, photographs, self._side, seed)
        return scenes


def open_digits_on_photos(options: OnPhotosOptions, _store: DatasetStore) -> OnPhotos:
    return OnPhotos(Digits(), 32, options.digits, enlarge=True)


def open_mnist_on_photos(options: OnPhotosOptions, store: DatasetStore) -> OnPhotos:
    """Raises DataError where MNIST's files are missing or damaged."""
    return OnPhotos(open_mnist(Options(), store), 48, options.digits, enlarge=False)


def _photos() -> np.ndarray:
    return np.asarray(Photos().load("photos").images)


def enlarged(images: np.ndarray) -> np.ndarray:
    """uint8 (N, h, w) at twice the size, bilinear; in whole numbers, so that it is the same on every machine."""
    for axis in (1, 2):
        values = np.moveaxis(images, axis, 0).astype(np.int64)
        before, after = (np.concatenate(pair) for pair in ((values[:1], values[:-1]), (values[1:], values[-1:])))
        doubled = np.stack([before + 3 * values, 3 * values + after], 1).reshape(-1, *values.shape[1:])
        images = np.moveaxis((doubled + 2) // 4, 0, axis)
    return images.astype(np.uint8)
