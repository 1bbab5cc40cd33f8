"""Generated images of a pointer: a line from its tail to its head, which is a disc."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.api import Dataset, DatasetStore, Opaque, Options, Part, Split, Target

SIDE = 24
SPLITS = {"train": (1000, 1), "validation": (200, 2), "test": (400, 3)}
"""Number of images and seed, by split."""


class Pointers(Dataset):
    parts: Mapping[Part, str] = {"train": "train", "val": "validation", "test": "test"}
    fingerprint = "pointers-1"

    @property
    def target(self) -> Target:
        return Opaque(dtype="float32", shape=(4,))  # x and y of the head, x and y of the tail, in pixels

    def load(self, split: str) -> Split:
        count, seed = SPLITS[split]
        random = np.random.RandomState(seed)
        head, tail = random.uniform(4, SIDE - 4, (2, count, 2))
        y, x = np.mgrid[:SIDE, :SIDE] + 0.5
        at = np.stack([x, y], -1)  # (H, W, 2)
        along = (tail - head)[:, None, None]  # (N, 1, 1, 2)
        share = (((at - head[:, None, None]) * along).sum(-1) / (along**2).sum(-1)).clip(0, 1)  # (N, H, W)
        line = np.linalg.norm(at - head[:, None, None] - share[..., None] * along, axis=-1) - 0.7
        disc = np.linalg.norm(at - head[:, None, None], axis=-1) - 2.5
        light = (0.5 - np.minimum(line, disc)).clip(0, 1) + random.normal(0, 0.1, (count, SIDE, SIDE))
        pixels = (light.clip(0, 1) * 255).astype(np.uint8)
        return Split(pixels[:, None], np.hstack([head, tail]).astype(np.float32))


def open_pointers(options: Options, store: DatasetStore) -> Pointers:
    del options, store  # there are no options, and no files to ask for
    return Pointers()
