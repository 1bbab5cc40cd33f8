"""The cache of decoded images, features and unpacked archives, keyed by the digest of everything they depend on.

Decoded images are one memory-mapped uint8 array per entry, and so are the features of a frozen backbone
(`zoo.training.feature_cache`). Archives are unpacked into the cache, too (`zoo.data.archives`).

    CACHE/decoded/KEY/images.npy   (N, C, H, W), or features (N, …) as float32
                      entry.json   what it is; touched at each use
    CACHE/unpacked/KEY/content/…
                      entry.json

An entry is written under a temporary name and renamed, so that it is always complete, and several processes may write
the same one. It has a digest of each block of its array. They are checked when a process first opens the entry; a
damaged entry is rebuilt. If the total size exceeds ``ZOO_CACHE_LIMIT`` (in GB), the least recently used entries are
removed.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data import archives
from zoo.errors import StorageError, UsageError
from zoo.support.atomic_files import storage_errors, sync_folder, write_json
from zoo.support.block_digests import block_digests, first_change
from zoo.support.paths import cache_root, setting
from zoo.support.progress import announce
from zoo.support.temporary_folders import remove_abandoned, temporary_folder
from zoo.support.untrusted_files import read_text

IMAGES, FACTS, FAULTS, EXTREMES = "images.npy", "entry.json", "faults.json", "extremes.json"
LIMIT_GB = 20.0


@dataclass(frozen=True)
class Entry:
    """One array or one archive: ``size`` in bytes, ``used`` and ``created`` in UTC, ``description`` from its
    builder."""

    key: str
    path: Path
    size: int
    created: datetime
    used: datetime
    description: dict[str, Any] = field(default_factory=dict)
    digests: tuple[str, ...] = ()
    """Of an array: the sha256 of each of its blocks (`zoo.support.block_digests`)."""


def folder() -> Path:
    return cache_root() / "decoded"


def limit() -> int:
    """Return the maximum total size in bytes. Raises UsageError if ``ZOO_CACHE_LIMIT`` is not a number."""
    text = setting("ZOO_CACHE_LIMIT") or str(LIMIT_GB)
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < math.inf:
        raise UsageError(
            f"ZOO_CACHE_LIMIT must be a number of gigabytes, not '{text}'", fix="for example ZOO_CACHE_LIMIT=20"
        )
    return int(value * 1e9)


def entries() -> list[Entry]:
    """Return every complete entry, the most recently used first."""
    return _entries(folder(), archives.folder())


def _entries(*folders: Path) -> list[Entry]:
    paths = [path for each in folders for path in each.glob("*/") if not path.name.startswith(".")]
    found = [entry for path in paths if (entry := _read(path)) is not None]
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def clear(keys: Iterable[str] | None = None) -> int:
    """Remove the entries of these keys, or all, and return the number of bytes freed.

    Processes that have mapped an array can still read it.
    """
    wanted = None if keys is None else set(keys)
    freed = 0
    for entry in entries():
        if wanted is None or entry.key in wanted:
            shutil.rmtree(entry.path, ignore_errors=True)
            freed += entry.size
    if wanted is None:
        _remove_abandoned()
        for name in (FAULTS, EXTREMES):
            (cache_root() / name).unlink(missing_ok=True)
    return freed


def faults() -> dict[str, str]:
    """Return known unreadable images, by sha256, with the reason; none from another version of pillow, which may
    support more formats."""
    return {str(key): str(value) for key, value in _remembered(FAULTS, "faults").items()}


def remember_faults(found: Mapping[str, str]) -> None:
    """Add to `faults`."""
    _remember(FAULTS, "faults", found)


def extremes(key: str) -> list[list[Any]] | None:
    """Return the value extremes of the images of ``key``, from `zoo.data.value_range`; None if not measured with this
    version of pillow."""
    try:
        found = [
            [bool(each[0]), float(each[1]), float(each[2]), int(each[3])]
            for each in _remembered(EXTREMES, "extremes")[key]
        ]
    except (KeyError, ValueError, TypeError, IndexError):
        return None
    return found


def remember_extremes(key: str, found: Sequence[Sequence[Any]]) -> None:
    _remember(EXTREMES, "extremes", {key: found})


def _remembered(file: str, what: str) -> dict[str, Any]:
    """Return the stored facts about images from the installed version of pillow."""
    try:
        known = json.loads(read_text(cache_root() / file))
        return dict(known[what]) if known["pillow"] == metadata.version("pillow") else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _remember(file: str, what: str, found: Mapping[str, Any]) -> None:
    with storage_errors(cache_root()):
        cache_root().mkdir(parents=True, exist_ok=True)
    write_json(cache_root() / file, {"pillow": metadata.version("pillow"), what: {**_remembered(file, what), **found}})


def open_or_build(
    key: str,
    shape: tuple[int, ...],
    description: dict[str, Any],
    build: Callable[[np.memmap[Any, Any]], None],
    dtype: type[np.generic] = np.uint8,
) -> np.memmap[Any, Any]:
    """Return the array of ``key``, of ``shape`` and ``dtype``, mapped copy-on-write. ``build`` fills a missing one, and
    may add to the description.

    Raises StorageError if the disk is full or read-only. If ``build`` raises, no entry is left.
    """
    place = folder() / key
    array = _mapped(place)
    if array is None:
        _build(place, np.dtype(dtype), shape, description, build)
        _evict(keep=key)
        array = _mapped(place)
    if array is None:
        raise StorageError(
            "another process removed the new cache entry at once",
            where=place,
            fix="raise ZOO_CACHE_LIMIT, then start again",
        )
    return array


def _mapped(place: Path) -> np.memmap[Any, Any] | None:
    """Map an entry and mark it as used; None if it is missing, or (after a note) damaged."""
    entry = _read(place)
    if entry is None:
        return None
    try:
        fault = _fault(place / IMAGES, entry)
        if fault is not None:
            what = entry.description.get("dataset", place.name)
            announce(f"{what}: the cached array {place} {fault}; it is rebuilt")
            return None
        with suppress(PermissionError):  # a cache without write permission
            os.utime(place / FACTS)
        return np.lib.format.open_memmap(place / IMAGES, mode="c")
    except (FileNotFoundError, ValueError):
        return None


_checked: set[tuple[int, ...]] = set()
"""Arrays whose digests this process has checked, by properties that change with the file."""


def _fault(file: Path, entry: Entry) -> str | None:
    """Return what is wrong with an array according to its digests, or None."""
    if not entry.digests:
        return "has no digests (an older version wrote it)"
    found = file.stat()
    state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if state not in _checked:
        changed = first_change(file, entry.digests)
        if changed is not None:
            return f"was changed after it was written (from byte {changed:,})"
        _checked.add(state)
    return None


def damage(entry: Entry) -> str | None:
    """Return what is wrong with the array of an entry, or None. Reads the whole array; a damaged one is rebuilt at its
    next use."""
    try:
        return _fault(entry.path / IMAGES, entry)
    except OSError as error:
        return error.strerror or str(error)


def described(key: str) -> dict[str, Any]:
    """Return the description of a complete entry; empty if there is none."""
    entry = _read(folder() / key)
    return {} if entry is None else entry.description


def _build(
    place: Path,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    description: dict[str, Any],
    build: Callable[[np.memmap[Any, Any]], None],
) -> None:
    with temporary_folder(place.parent, place.name) as temporary:
        needed, free = dtype.itemsize * int(np.prod(shape, dtype=np.int64)), shutil.disk_usage(temporary).free
        if needed > free:
            raise StorageError(
                f"the cache entry needs {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free",
                where=folder(),
                fix=FIX,
            )
        with storage_errors(place):
            array = np.lib.format.open_memmap(temporary / IMAGES, mode="w+", dtype=dtype, shape=shape)
            _reserve(temporary / IMAGES)
        build(array)
        array.flush()
        del array
        with storage_errors(place):
            digests = block_digests(temporary / IMAGES)
        write_json(
            temporary / FACTS, {"created": datetime.now(UTC).isoformat(), "description": description, "sha256": digests}
        )
        with storage_errors(place):
            sync_folder(temporary)
            _put(temporary, place)
            sync_folder(place.parent)


def _put(temporary: Path, place: Path) -> None:
    """Rename, unless another process has already written the same entry."""
    entry = _read(place)
    if place.exists() and (entry is None or _fault(place / IMAGES, entry)):
        shutil.rmtree(place, ignore_errors=True)
    try:
        temporary.rename(place)
    except OSError:
        if _read(place) is None:
            raise


def _reserve(file: Path) -> None:
    """Allocate the whole file first: without free space, writing to a mapped file would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)


FIX = "free some space (see `zoo cache`), or set ZOO_CACHE to another disk"


def _read(path: Path) -> Entry | None:
    try:
        facts = json.loads(read_text(path / FACTS))
        size = int(facts["size"]) if "size" in facts else (path / IMAGES).stat().st_size
        used = datetime.fromtimestamp((path / FACTS).stat().st_mtime, UTC)
        digests = tuple(map(str, facts.get("sha256", ())))
        return Entry(
            path.name, path, size, datetime.fromisoformat(facts["created"]), used, dict(facts["description"]), digests
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _evict(keep: str) -> None:
    """Remove the least recently used arrays until the rest fits, except ``keep``, and the remains of killed processes.

    Unpacked archives stay, because a run may be reading them.
    """
    _remove_abandoned()
    room = limit()
    for entry in _entries(folder()):
        room -= entry.size
        if room < 0 and entry.key != keep:
            shutil.rmtree(entry.path, ignore_errors=True)


def _remove_abandoned() -> None:
    for each in (folder(), archives.folder()):
        remove_abandoned(each)
