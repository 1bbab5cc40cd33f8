"""Decode image files into one cached uint8 array of the network's size, with several threads."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from zoo.data import dataset_cache
from zoo.data.preprocessing import Preprocessing
from zoo.errors import DataError
from zoo.runtime import PIXELS, OutsideLimitError
from zoo.support.progress import tracked

T = TypeVar("T")

SAY_FROM = 500
"""The number of images from which progress is shown."""


def decoded(
    files: Sequence[Path],
    preprocessing: Preprocessing,
    digest: Callable[[Path], str],
    name: str,
    *,
    all_faults: bool = False,
) -> np.memmap[Any, Any]:
    """Return uint8 (N, channels, height, width), mapped copy-on-write.

    ``digest`` returns a file's sha256; ``name`` is for messages. Raises UnreadableImages at the first file that is not
    an image (with ``all_faults``, after trying all files), and DataError for a missing file.
    """
    transform = {"pixels": PIXELS, **preprocessing.model_dump(mode="json", exclude={"mean", "std"})}
    description = {"dataset": name, "images": len(files), **transform}
    shape = (len(files), *preprocessing.shape)
    return dataset_cache.open_or_build(
        key_of(transform, files, digest),
        shape,
        description,
        lambda array: decode_into(array, files, preprocessing, name, all_faults),
    )


def key_of(facts: dict[str, Any], files: Sequence[Path], digest: Callable[[Path], str]) -> str:
    """Return a key of the cache for what is computed from the content of ``files`` and ``facts``."""
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for file in files:
        key.update(bytes.fromhex(digest_of(file, digest)))
    return key.hexdigest()[:32]


class UnreadableImages(DataError):
    """``faults`` has each unreadable file with its error."""

    def __init__(self, faults: list[tuple[Path, ValueError]]) -> None:
        error = _unreadable(*faults[0])
        more = f" (and {len(faults) - 1:,} more)" if len(faults) > 1 else ""
        super().__init__(error.what + more, where=error.where, fix=error.fix)
        self.faults = faults


def faulty(
    files: Sequence[Path], digest: Callable[[Path], str], decode: Callable[[Sequence[Path]], object]
) -> dict[int, str]:
    """Which of the files are no images, and why, by their places. ``decode`` tries files, and raises UnreadableImages
    for all that are no images.

    What is wrong with a file's content is remembered by that content, so that later runs need not try again.
    """
    known = dataset_cache.faults()
    found = {index: _dangling(file) for index, file in enumerate(files) if is_dangling(file)}
    digests = {index: digest_of(file, digest) for index, file in enumerate(files) if index not in found}
    found |= {index: known[key] for index, key in digests.items() if key in known}
    while True:
        sound = [file for index, file in enumerate(files) if index not in found]
        try:
            if sound:
                decode(sound)
            return found
        except UnreadableImages as error:
            reasons = dict(error.faults)
            found |= {index: str(reasons[file]) for index, file in enumerate(files) if file in reasons}
            # a limit may be another one next time
            lasting = [file for file, reason in error.faults if not isinstance(reason, OutsideLimitError)]
            dataset_cache.remember_faults({digest_of(file, digest): str(reasons[file]) for file in lasting})


def image_of(file: Path, read: Callable[[Path], T]) -> T:
    """Return ``read(file)``. Raises DataError for a file that is missing or not an image."""
    try:
        return read(file)
    except (ValueError, OSError) as error:
        raise _unreadable(file, error) from error


def digest_of(file: Path, digest: Callable[[Path], str]) -> str:
    """Return the sha256 of a file. Raises DataError if it is missing."""
    try:
        return digest(file)
    except OSError as error:
        raise _unreadable(file, _dangling(file) if is_dangling(file) else error.strerror or str(error)) from error


def is_dangling(file: Path) -> bool:
    return file.is_symlink() and not file.exists()


def _dangling(file: Path) -> str:
    """Why a link is no image."""
    return f"is a broken link to {file.readlink()}"


def decode_into(
    array: np.memmap[Any, Any], files: Sequence[Path], preprocessing: Preprocessing, name: str, all_faults: bool
) -> None:
    def one(index: int) -> None:
        array[index] = preprocessing.read(files[index])

    read_each(one, files, f"{name}: decoding {len(files):,} images, once", all_faults=all_faults)


def read_each(read: Callable[[int], None], files: Sequence[Path], doing: str, *, all_faults: bool) -> None:
    """Call ``read`` with the place of each file, in threads. Raises UnreadableImages for the first that is no image, or
    for all of them, and DataError for a missing file. ``doing`` is the label of the progress bar."""
    faults: list[tuple[Path, ValueError]] = []

    def one(index: int) -> None:
        try:
            read(index)
        except ValueError as error:
            # Results are read in order, so that the first unreadable file is reported, whichever thread is faster.
            if not all_faults:
                raise UnreadableImages([(files[index], error)]) from error
            faults.append((files[index], error))
        except OSError as error:
            raise _unreadable(files[index], str(error)) from error

    each_in_threads(one, len(files), doing)
    if faults:
        raise UnreadableImages(sorted(faults, key=itemgetter(0)))


def each_in_threads(one: Callable[[int], None], count: int, doing: str) -> None:
    """Call ``one`` with each index below ``count``, in threads; raise the first exception by index. ``doing`` is the
    label of the progress bar, shown for many calls."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # pillow releases the GIL while it decodes
        work = [pool.submit(one, index) for index in range(count)]
        try:
            for each in work if count < SAY_FROM else tracked(work, doing):
                each.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _unreadable(file: Path, reason: str | Exception) -> DataError:
    said = str(reason) if str(reason).startswith(("is ", "has ", "cannot ")) else f"cannot be read: {reason}"
    return DataError(
        f"this file {said}", where=file, fix=FIXES[reason.option] if isinstance(reason, OutsideLimitError) else REPAIR
    )


REPAIR = (
    "repair, restore or remove the file (`zoo data check` lists all of them); a stopped run can be resumed once its "
    "data is restored; "
    "--skip-bad-images skips such images in training"
)
FIXES = {
    "max_pixels": (
        "make it smaller, or train with a larger dataset.max_pixels (a million pixels needs about 4 MB of memory)"
    ),
    "value_range": (
        "train with dataset.value_range=[LOW,HIGH] that includes these values, or convert the image to that range"
    ),
}
"""By the option that sets the limit."""
