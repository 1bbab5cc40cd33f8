"""Generated surfaces with dark patches; the grade is the share of the area that they cover."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.api import Dataset, DatasetStore, Options, Part, Split

SIDE = 28
BOUNDS = (0.1, 0.3, 0.5, 0.8)
"""Shares of the area where the next grade begins."""
SPLITS = {"train": (1000, 1), "validation": (200, 2), "test": (400, 3)}
"""Number of images and seed, by split."""


class Rust(Dataset):
    parts: Mapping[Part, str] = {"train": "train", "val": "validation", "test": "test"}
    fingerprint = "rust-1"

    def load(self, split: str) -> Split:
        count, seed = SPLITS[split]
        random = np.random.RandomState(seed)
        share = random.rand(count, 1, 1)
        # patches of two sizes: noise of 7×7 and of 14×14 pixels, enlarged
        field = sum(np.kron(random.normal(size=(count, size, size)), np.ones((1, 4, 4))[:, : 28 // size, : 28 // size])
                    for size in (7, 14))  # fmt: skip
        rank = field.reshape(count, -1).argsort(1).argsort(1).reshape(field.shape)  # (N, H, W), 0…783
        light = np.where(rank < share * SIDE**2, 0.3, 0.7) + random.normal(0, 0.15, field.shape)
        pixels = (light.clip(0, 1) * 255).astype(np.uint8)
        return Split(pixels[:, None], np.digitize(share[:, 0, 0], BOUNDS).astype(np.int64))


def open_rust(_options: Options, _store: DatasetStore) -> Rust:
    return Rust()
