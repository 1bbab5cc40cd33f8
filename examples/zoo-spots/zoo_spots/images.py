"""Generated images of small bright spots; the mask is 1 where a spot is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.api import Dataset, DatasetStore, Mask, Options, Part, Split, Target

SIDE, MOST = 32, 3
SPLITS = {"train": (400, 1), "test": (200, 2)}
"""Number of images and seed, by split."""


class Spots(Dataset):
    parts: Mapping[Part, str] = {"train": "train", "test": "test"}
    fingerprint = "spots-1"

    @property
    def target(self) -> Target:
        return Mask(names=("background", "spot"))

    def load(self, split: str) -> Split:
        count, seed = SPLITS[split]
        random = np.random.RandomState(seed)
        y, x = np.mgrid[:SIDE, :SIDE] + 0.5
        at = random.uniform(3, SIDE - 3, (2, count, MOST, 1, 1))
        radius = random.uniform(1, 2.5, (count, MOST, 1, 1)) * (random.rand(count, MOST, 1, 1) < 0.7)
        inside = (np.hypot(x - at[0], y - at[1]) < radius).any(1)  # (N, H, W)
        light = 0.3 + random.uniform(0, 0.2, (count, 1, 1)) + 0.25 * inside
        pixels = ((light + random.normal(0, 0.1, light.shape)).clip(0, 1) * 255).astype(np.uint8)
        return Split(pixels[:, None], inside.astype(np.uint8))


def open_spots(_options: Options, _store: DatasetStore) -> Spots:
    return Spots()
