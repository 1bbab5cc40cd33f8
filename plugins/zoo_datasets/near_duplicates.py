"""Near-duplicates by their difference hash, so that copies of an image are not in train and test at once.

The difference hash of an image is 64 bits: whether each pixel of its 8 × 9 grey thumbnail is darker than the one to its
right (N. Krawetz: Kind of like that, 2013). It is the same for copies of another size or quality, and differs for crops
and mirror images.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.api import DatasetStore
from zoo.plugin import plural
from zoo_datasets.folder_layout import Sample

BITS = 4
"""Hashes that differ in at most this many of the 64 bits are of near-duplicates."""
FLAT = 8
"""Hashes with fewer ones are of images without structure, which all look alike, and are not compared."""


def difference_hash(file: Path) -> int | None:
    """Return the hash of an image file; None if it cannot be read or is flat."""
    try:
        with Image.open(file) as image:
            image.draft("L", (72, 64))  # a JPEG is decoded at an eighth of its size
            grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None  # reported when it is decoded
    bits = (grey[:, :-1] < grey[:, 1:]).ravel()
    found = int(np.packbits(bits).view(">u8")[0])
    return found if FLAT <= int(bits.sum()) <= 64 - FLAT else None


def keep_together(splits: Mapping[str, Sequence[Sample]], store: DatasetStore) -> dict[str, list[Sample]]:
    """Move the images of val that have a near-duplicate of their class in train to train, and note how many.

    A class keeps at least one image of val, even if all have near-duplicates.
    """
    train, val = list(splits["train"]), list(splits["val"])
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        hashes = [list(pool.map(difference_hash, (sample.file for sample in part))) for part in (train, val)]
    moved = _near(train, val, hashes)
    left = {sample.label for index, sample in enumerate(val) if index not in moved}
    for index in sorted(moved):
        if val[index].label not in left:
            left.add(val[index].label)
            moved.discard(index)
    if moved:
        store.note(f"{plural(len(moved), 'image')} moved from test to train: near-duplicates of training images")
    return {
        **{name: list(samples) for name, samples in splits.items()},
        "train": [*train, *(val[index] for index in sorted(moved))],
        "val": [sample for index, sample in enumerate(val) if index not in moved],
    }


def _near(train: Sequence[Sample], val: Sequence[Sample], hashes: Sequence[Sequence[int | None]]) -> set[int]:
    """Return the samples of val that are connected to train by near-duplicates of their class."""
    found: set[int] = set()
    for label in {sample.label for sample in val}:
        known = [value for sample, value in zip(train, hashes[0], strict=True) if sample.label == label and value]
        due = {
            index: value
            for index, (sample, value) in enumerate(zip(val, hashes[1], strict=True))
            if sample.label == label and value
        }
        fresh = np.array(known, np.uint64)
        while due and len(fresh):  # those that were found connect others
            near = [index for index, value in due.items() if _closest(fresh, value) <= BITS]
            fresh = np.array([due.pop(index) for index in near], np.uint64)
            found.update(near)
    return found


def _closest(hashes: np.ndarray, value: int) -> int:
    """Return the smallest number of different bits."""
    different = (hashes ^ np.uint64(value)).view(np.uint8).reshape(len(hashes), 8)
    return int(np.unpackbits(different, axis=1).sum(1).min())
