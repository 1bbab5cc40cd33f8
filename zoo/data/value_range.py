"""The value range of grayscale images with more than 8 bits: which values become 0 and 255.

`dataset.value_range=auto` determines it from all training images: 0–1 for floats from 0 to 1, otherwise the smallest of
0–255, 0–4095 and 0–65535 that contains all values. Images with 8 bits per channel are not affected.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from zoo.api import Dataset, Part, SampleSource, Split
from zoo.config.run_config import DatasetSection
from zoo.data import dataset_cache
from zoo.data.decoding import SAY_FROM, digest_of, is_dangling
from zoo.errors import DataError
from zoo.runtime import FORMATS, PIXELS, deep_kind
from zoo.support.progress import tracked

RANGES = ((0.0, 255.0), (0.0, 4095.0), (0.0, 65535.0))
FLOATS = (0.0, 1.0)
FIX = "set dataset.value_range=[LOW,HIGH], the values that become 0 and 255"


class Extremes(NamedTuple):
    """The minimum and maximum value of images of one kind."""

    is_float: bool
    least: float
    most: float
    images: int = 1


def choose_value_range(
    section: DatasetSection, dataset: Dataset, splits: Mapping[Part, Split], digest: Callable[[Path], str], name: str
) -> tuple[tuple[float, float] | None, str | None]:
    """Return the range of the section, or the one for all training images with a sentence about it.

    ``splits`` are the opened splits.
    """
    if section.value_range != "auto":
        return section.value_range, None
    files = _training_files(section, dataset, splits)
    return find_value_range(files, digest, name, section.max_pixels) if files else (None, None)


def _training_files(section: DatasetSection, dataset: Dataset, splits: Mapping[Part, Split]) -> list[Path]:
    """Return the files of the whole train split, even if it is not in ``splits``; none if images are arrays."""
    if (
        any(isinstance(split.images, np.ndarray | SampleSource) for split in splits.values())
        or "train" not in dataset.parts
    ):
        return []
    if "train" not in splits:
        return _files_of(dataset.load(dataset.parts["train"]))
    made_of_train: tuple[Part, ...] = ("train", "val") if section.val_fraction else ("train",)
    return [file for part in made_of_train if part in splits for file in _files_of(splits[part])]


def _files_of(split: Split) -> list[Path]:
    return [] if isinstance(split.images, np.ndarray | SampleSource) else list(split.images)


def find_value_range(
    files: Sequence[Path], digest: Callable[[Path], str], name: str, max_pixels: int
) -> tuple[tuple[float, float] | None, str | None]:
    """Return the range for all training ``files``, and a sentence about it; None if all have 8 bits.

    Unreadable files are skipped. The result is cached by the content of the files. Raises DataError if no range fits.
    """
    present = [file for file in files if not is_dangling(file)]
    key = hashlib.sha256(f"{PIXELS} {max_pixels} {FORMATS}".encode())
    for each in sorted(digest_of(file, digest) for file in present):
        key.update(bytes.fromhex(each))
    known = dataset_cache.extremes(key.hexdigest())
    if known is None:
        known = [list(each) for each in measure_extremes(present, name, max_pixels)]
        dataset_cache.remember_extremes(key.hexdigest(), known)
    found = [Extremes(*each) for each in known]
    if not found:
        return None, None
    low, high = _decide(found, name)
    images = sum(each.images for each in found)
    return (low, high), (
        f"{images:,} grayscale image{'s have' if images > 1 else ' has'} more than 8 bits: their values from {low:g} "
        f"to {high:g} become 0 to 255 "
        "(dataset.value_range)"
    )


def _decide(found: Sequence[Extremes], name: str) -> tuple[float, float]:
    ranges = {each.is_float: _range_of(each, name) for each in found}
    if len(set(ranges.values())) > 1:
        floats, integers = (f"{low:g} to {high:g}" for low, high in (ranges[True], ranges[False]))
        raise DataError(
            f"the training images have float values {floats}, but integer values {integers}", where=name, fix=FIX
        )
    return next(iter(ranges.values()))


def _range_of(each: Extremes, name: str) -> tuple[float, float]:
    if each.is_float and each.least >= 0 and each.most <= FLOATS[1]:
        return FLOATS
    for low, high in RANGES:
        if low <= each.least and each.most <= high:
            return low, high
    raise DataError(
        f"the values of its grayscale images, {each.least:g} to {each.most:g}, fit none of the usual ranges",
        where=name,
        fix=FIX,
    )


def measure_extremes(files: Sequence[Path], name: str, max_pixels: int) -> list[Extremes]:
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        work = [pool.submit(_extremes, file, max_pixels) for file in files]
        shown = work if len(work) < SAY_FROM else tracked(work, f"{name}: looking for images of more than 8 bits, once")
        each = [found for one in shown if (found := one.result()) is not None]
    return [
        Extremes(is_float, min(one.least for one in alike), max(one.most for one in alike), len(alike))
        for is_float in (False, True)
        if (alike := [one for one in each if one.is_float == is_float])
    ]


def _extremes(file: Path, max_pixels: int) -> Extremes | None:
    """Return the extremes; None for an image of 8 bits (from its header) and for an unreadable one, which is reported
    when it is decoded."""
    try:
        with file.open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
            kind = deep_kind(image)
            if not kind or image.width * image.height > max_pixels:
                return None
            values = np.asarray(image)
            least, most = float(values.min()), float(values.max())
    except Exception:
        return None
    return Extremes(kind == "float", least, most) if np.isfinite([least, most]).all() else None
