"""Near-duplicates by their difference hash, so that copies of an image are not in train and test at once.

The difference hash of an image is 64 bits: whether each pixel of its 8 × 9 gray thumbnail is darker than the one to its
right (N. Krawetz: Kind of like that, 2013). It is the same for copies of another size or quality, and differs for crops
and mirror images.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
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
            gray = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None  # reported when it is decoded
    bits = (gray[:, :-1] < gray[:, 1:]).ravel()
    found = int(np.packbits(bits).view(">u8")[0])
    return found if FLAT <= int(bits.sum()) <= 64 - FLAT else None


Groups = dict[Path, int]
"""The group of each image: near-duplicates of a class have the same."""


def keep_together(
    splits: Mapping[str, Sequence[Sample]], store: DatasetStore
) -> tuple[dict[str, list[Sample]], Groups]:
    """Move the images of val that have a near-duplicate of their class in train to train, and note how many.

    A class keeps at least one image of val, even if all have near-duplicates. Returns the splits and the groups.
    """
    train, val = list(splits["train"]), list(splits["val"])
    both = [*train, *val]
    near = near_pairs(_hashes(both))
    note_classes(both, near, store)
    first = _first_of_group(both, near)
    moved = {index - len(train) for index in range(len(train), len(both)) if first[index] < len(train)}
    left = {sample.label for index, sample in enumerate(val) if index not in moved}
    for index in sorted(moved):
        if val[index].label not in left:
            left.add(val[index].label)
            moved.discard(index)
    if moved:
        store.note(f"{plural(len(moved), 'image')} moved from test to train: near-duplicates of training images")
    arranged = {
        **{name: list(samples) for name, samples in splits.items()},
        "train": [*train, *(val[index] for index in sorted(moved))],
        "val": [sample for index, sample in enumerate(val) if index not in moved],
    }
    return arranged, _groups(both, first)


def note_between(splits: Mapping[str, Sequence[Sample]], store: DatasetStore) -> Groups:
    """Note how many images of each split that the folder itself has are near-duplicates of training images, and how
    many of all are of images of another class. Nothing is moved. Returns the groups."""
    parts = {name: samples for name, samples in splits.items() if samples and samples[0].label is not None}
    every = [sample for samples in parts.values() for sample in samples]
    names = [name for name, samples in parts.items() for _ in samples]
    near = near_pairs(_hashes(every))
    note_classes(every, near, store)
    for name in parts:
        found = {
            index
            for pair in near.tolist()
            for index, other in (pair, pair[::-1])
            if names[index] == name != "train" and names[other] == "train"
        }
        if found:
            store.note(
                f"{plural(len(found), 'image')} of {name} {'has' if len(found) == 1 else 'have'} a near-duplicate in "
                "train, so that the accuracy on it is too high"
            )
    return _groups(every, _first_of_group(every, near))


def note_classes(samples: Sequence[Sample], near: np.ndarray, store: DatasetStore) -> None:
    """Note how many images have a near-duplicate of another class, with an example."""
    across = [pair for pair in near.tolist() if samples[pair[0]].label != samples[pair[1]].label]
    if across:
        one, other = (f"{samples[index].label}/{samples[index].file.name}" for index in across[0])
        store.note(
            f"{plural(len({index for pair in across for index in pair}), 'image')} with a near-duplicate of another "
            f"class, such as {one} and {other}: check their classes"
        )


def near_pairs(hashes: Sequence[int | None]) -> np.ndarray:
    """Return the pairs of indices, int64 (P, 2), whose hashes differ in at most `BITS` bits.

    If two hashes differ in at most 4 bits, at least one of 5 pieces of them is the same: only those are compared.
    """
    kept = np.array([index for index, value in enumerate(hashes) if value is not None], np.int64)
    values = np.array([hashes[index] for index in kept], np.uint64)
    found = [np.empty((0, 2), np.int64)]
    for low, high in pairwise(np.linspace(0, 64, BITS + 2).astype(int)):
        piece = (values >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(piece, kind="stable")
        ends = np.flatnonzero(np.diff(piece[order])) + 1
        for group in np.split(order, ends):
            for place in range(len(group) - 1):
                others = group[place + 1 :]
                close = others[_distances(values[others], values[group[place]]) <= BITS]
                found.append(np.stack([np.full(len(close), group[place]), close], 1))
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    return np.asarray(kept[pairs])


def _hashes(samples: Sequence[Sample]) -> list[int | None]:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(difference_hash, (sample.file for sample in samples)))


def _groups(samples: Sequence[Sample], first: Sequence[int]) -> Groups:
    return {sample.file: group for sample, group in zip(samples, first, strict=True)}


def _first_of_group(samples: Sequence[Sample], near: np.ndarray) -> list[int]:
    """Return the first of the samples that each one is connected to by near-duplicates of its class, or itself."""
    links: dict[int, list[int]] = {}
    for one, other in near.tolist():
        if samples[one].label == samples[other].label:
            links.setdefault(one, []).append(other)
            links.setdefault(other, []).append(one)
    first = list(range(len(samples)))
    seen: set[int] = set()
    for index in sorted(links):
        due = [] if index in seen else [index]
        seen.update(due)
        while due:
            at = due.pop()
            first[at] = index
            fresh = set(links[at]) - seen
            seen |= fresh
            due.extend(fresh)
    return first


def _distances(hashes: np.ndarray, value: np.uint64) -> np.ndarray:
    """Return the number of different bits of each hash."""
    different = (hashes ^ value).view(np.uint8).reshape(len(hashes), 8)
    return np.asarray(np.unpackbits(different, axis=1).sum(1))
