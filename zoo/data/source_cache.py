"""The cache of images that are decoded once, at their own sizes (``dataset.cache=source``), and the check of files that
are decoded at each use (``dataset.cache=none``).

An entry of `zoo.data.dataset_cache` is one uint8 array: height and width of each image as int32, then the pixels of one
image after the other, each (h, w, channels).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from zoo.data import dataset_cache
from zoo.data.decoding import key_of, read_each
from zoo.data.preprocessing import Preprocessing
from zoo.data.source_images import read_header
from zoo.errors import DataError, StorageError
from zoo.runtime import PIXELS
from zoo.support.formatting import size

PER_HEADER = 8
"""The bytes of two int32."""


class StoredImages(Sequence[np.ndarray]):
    """The images of an entry, each uint8 (h, w, channels), without copying them."""

    def __init__(self, array: np.ndarray, count: int, channels: int) -> None:
        self._array, self._channels = array, channels
        self._sizes = array[: PER_HEADER * count].view(np.int32).reshape(count, 2)
        self._starts = _starts(self._sizes, channels)

    def __len__(self) -> int:
        return len(self._sizes)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        height, width = self._sizes[index].tolist()
        start, stop = self._starts[index : index + 2].tolist()
        return self._array[start:stop].reshape(height, width, self._channels)


def stored_images(
    files: Sequence[Path],
    preprocessing: Preprocessing,
    digest: Callable[[Path], str],
    name: str,
    *,
    all_faults: bool = False,
) -> StoredImages:
    """Return the images at their own sizes, decoded into the cache.

    Parameters and errors as of `zoo.data.decoding.decoded`; StorageError if they are larger than the cache may be.
    """
    facts = _facts("source", preprocessing)
    key = key_of(facts, files, digest)
    known = dataset_cache.described(key).get("bytes")
    sizes = np.zeros((len(files), 2), np.int32)
    if known is None:
        _read_sizes(sizes, files, preprocessing, name, all_faults=all_faults)
        known = int(_starts(sizes, preprocessing.channels)[-1])
        _check_room(known, len(files), name)
    description = {"dataset": name, "images": len(files), "bytes": known, **facts}
    array = dataset_cache.open_or_build(
        key,
        (known,),
        description,
        lambda entry: _decode_into(entry, sizes, files, preprocessing, name, all_faults=all_faults),
    )
    return StoredImages(array, len(files), preprocessing.channels)


def try_files(files: Sequence[Path], preprocessing: Preprocessing, digest: Callable[[Path], str], name: str) -> None:
    """Decode every file once, and remember that it was possible. Raises UnreadableImages for all that are no images,
    DataError for a missing file."""
    facts = _facts("tried", preprocessing)

    def build(array: np.memmap[Any, Any]) -> None:
        def one(index: int) -> None:
            preprocessing.read_whole(files[index])
            array[index] = 1

        read_each(one, files, f"{name}: trying {len(files):,} images, once", all_faults=True)

    description = {"dataset": name, "images": len(files), **facts}
    dataset_cache.open_or_build(key_of(facts, files, digest), (len(files),), description, build)


def _facts(what: str, preprocessing: Preprocessing) -> dict[str, Any]:
    """What decoded pixels depend on, besides the files."""
    given = preprocessing.model_dump(mode="json", include={"channels", "max_pixels", "value_range"})
    return {"pixels": PIXELS, "size": what, **given}


def _starts(sizes: np.ndarray, channels: int) -> np.ndarray:
    """Return where the pixels of each image start in an entry, and where the last ones end: int64 (n + 1,)."""
    lengths = sizes.astype(np.int64).prod(1) * channels
    return np.concatenate([[0], np.cumsum(lengths)]) + PER_HEADER * len(sizes)


def _read_sizes(
    sizes: np.ndarray, files: Sequence[Path], preprocessing: Preprocessing, name: str, *, all_faults: bool
) -> None:
    def one(index: int) -> None:
        try:
            header = read_header(files[index], preprocessing.max_pixels)
        except Exception:  # reading it in the usual way says what is wrong
            image = preprocessing.read_whole(files[index])
            sizes[index] = image.height, image.width
        else:
            sizes[index] = header.height, header.width

    read_each(one, files, f"{name}: reading the sizes of {len(files):,} images", all_faults=all_faults)


def _check_room(needed: int, count: int, name: str) -> None:
    if needed > dataset_cache.limit():
        raise StorageError(
            f"{count:,} training images of {name} at their own sizes need {size(needed)}, more than the cache may hold "
            f"({size(dataset_cache.limit())})",
            where="dataset.cache=source",
            fix=f"use dataset.cache=none, which decodes them each time, or set ZOO_CACHE_LIMIT={-(-needed // 10**9)}",
        )


def _decode_into(
    array: np.memmap[Any, Any],
    sizes: np.ndarray,
    files: Sequence[Path],
    preprocessing: Preprocessing,
    name: str,
    *,
    all_faults: bool,
) -> None:
    if not sizes.any():  # the entry was there before, and is damaged
        _read_sizes(sizes, files, preprocessing, name, all_faults=all_faults)
    array[: PER_HEADER * len(files)] = sizes.view(np.uint8).ravel()
    images = StoredImages(array, len(files), preprocessing.channels)

    def one(index: int) -> None:
        pixels = np.asarray(preprocessing.read_whole(files[index]))
        if pixels.shape[:2] != images[index].shape[:2]:
            raise DataError("this file was changed while it was in use", where=files[index], fix="start again")
        images[index][:] = pixels.reshape(images[index].shape)

    read_each(one, files, f"{name}: decoding {len(files):,} images at their own sizes, once", all_faults=all_faults)
