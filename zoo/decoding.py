"""Pictures in files → one uint8 array of the network's size, decoded once by several threads and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from zoo import cache
from zoo.errors import DataError
from zoo.preprocessing import Preprocessing

T = TypeVar("T")

SAY_FROM = 500
"""So many pictures take long enough to be told about."""


def decoded(files: Sequence[Path], preprocessing: Preprocessing, digest: Callable[[Path], str], name: str) -> np.memmap[Any, Any]:
    """uint8 (N, channels, height, width), mapped copy-on-write. ``digest`` gives a file's sha256; ``name`` is for people.

    Raises DataError naming a file that is not there or cannot be read: the pictures of a dataset are taken whole or not at all.
    """
    transform = preprocessing.model_dump(mode="json", exclude={"mean", "std"})
    key = hashlib.sha256(json.dumps(transform, sort_keys=True).encode())
    for file in files:
        key.update(bytes.fromhex(_digest(file, digest)))
    description = {"dataset": name, "pictures": len(files), **transform}
    shape = (len(files), *preprocessing.shape)
    return cache.open_or_build(key.hexdigest()[:32], shape, description, lambda array: _fill(array, files, preprocessing, name))


def picture_of(file: Path, read: Callable[[Path], T]) -> T:
    """What ``read`` makes of a file. Raises DataError naming a file that is not there or is no picture."""
    try:
        return read(file)
    except (ValueError, OSError) as error:
        raise _unreadable(file, str(error)) from error


def _digest(file: Path, digest: Callable[[Path], str]) -> str:
    try:
        return digest(file)
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error


def _fill(array: np.memmap[Any, Any], files: Sequence[Path], preprocessing: Preprocessing, name: str) -> None:
    def one(index: int) -> None:
        array[index] = picture_of(files[index], preprocessing.read)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # pillow frees the interpreter while it decodes
        work = [pool.submit(one, index) for index in range(len(files))]
        try:
            for each in _progress(work, name):
                each.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _unreadable(file: Path, reason: str) -> DataError:
    return DataError(f"this picture {reason if reason.startswith(('is ', 'cannot ')) else f'cannot be read: {reason}'}", where=file, fix=REPAIR)


REPAIR = "repair, restore or remove the file; a run that was stopped goes on once its data is as it was"


def _progress(work: Sequence[Any], name: str) -> Any:
    """The work, in order, behind a bar on stderr where that is a terminal, and a line where it is not."""
    if len(work) < SAY_FROM:
        return work
    if not sys.stderr.isatty():
        print(f"{name}: decoding {len(work):,} pictures, once", file=sys.stderr)
        return work
    from rich.console import Console
    from rich.progress import track

    return track(work, f"{name}: decoding", console=Console(stderr=True), transient=True)
