"""Circles, squares and triangles of any size, place and angle, drawn from a fixed seed: the same images everywhere,
and no download."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from zoo.api import Dataset, DatasetStore, Part, Split
from zoo_example.options import ShapesOptions

SIDE = 28
SPLITS = {"train": (1500, 1), "validation": (300, 2), "test": (600, 3)}
"""Number of images and seed, by split."""


class Shapes(Dataset):
    """The implementation of `zoo.api.Dataset`."""

    parts: Mapping[Part, str] = {"train": "train", "val": "validation", "test": "test"}

    def __init__(self, noise: float) -> None:
        self._noise = noise

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name in SPLITS:
            split = self.load(name)
            digest.update(split.images.tobytes())
        return digest.hexdigest()

    def load(self, split: str) -> Split:
        count, seed = SPLITS[split]
        random = np.random.RandomState(seed)  # its stream never changes, by numpy's policy
        labels = np.arange(count) % 3
        images = draw(labels, random) + random.normal(0, self._noise, (count, SIDE, SIDE))
        pixels = (images.clip(0, 1) * 255).astype(np.uint8)
        return Split(pixels[:, None], labels.astype(np.int64))  # (N, 1, H, W)


def draw(labels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """A shape for each label, brightness in 0…1, float64 (N, H, W).

    Inside is where the distance to the outline is negative.
    """
    count = len(labels)
    centre = random.uniform(11, 17, (2, count, 1, 1))
    size = random.uniform(5, 9, (count, 1, 1))
    angle = random.uniform(0, 2 * np.pi, (count, 1, 1))
    brightness = random.uniform(0.5, 1, (count, 1, 1))
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    y, x = y - centre[0], x - centre[1]
    across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    circle = np.hypot(across, along) - size
    square = np.maximum(abs(across), abs(along)) - size * 0.85
    corners = np.stack([across * np.sin(turn) + along * np.cos(turn) for turn in (0, 2 * np.pi / 3, 4 * np.pi / 3)])
    triangle = corners.max(0) - size * 0.65
    distance = np.choose(labels[:, None, None], [circle, square, triangle])
    return np.asarray((0.5 - distance).clip(0, 1) * brightness)


def open_shapes(options: ShapesOptions, store: DatasetStore) -> Shapes:
    """The target of the spec. A dataset with files would ask ``store`` for them."""
    del store
    return Shapes(options.noise)
