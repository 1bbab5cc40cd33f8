"""Temporary folders that are removed after their process ends: each has a lock file, locked while its owner runs.

    PARENT/.NAME.TOKEN.tmp/lock       locked by the operating system, which frees the lock however the owner ends
                           content/   the new content; renamed to its final path when it is complete

A process id would not suffice, because the owner may run in another container with its own process ids.
"""

from __future__ import annotations

import glob
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from zoo.support.atomic_files import storage_errors

LOCK, CONTENT = "lock", "content"
ABANDONED_SECONDS = 24 * 3600.0
"""The age in seconds from which a folder without a lock file is abandoned (left by a crash or an older version)."""


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new folder in ``parent`` for the content of ``parent/name``; removed at the end unless it was renamed.

    Raises StorageError.
    """
    with storage_errors(parent / name):
        parent.mkdir(parents=True, exist_ok=True)
        outer, lock = _claim(parent, name)
    try:
        content = outer / CONTENT
        with storage_errors(content):
            content.mkdir()
        yield content
    finally:
        shutil.rmtree(outer / CONTENT, ignore_errors=True)
        lock.release()  # before the file goes: some systems remove no file that is open
        shutil.rmtree(outer, ignore_errors=True)


def remove_abandoned(parent: Path, name: str | None = None) -> None:
    """Remove temporary folders of ``parent/name``, or of all names in ``parent``, whose owners have ended."""
    pattern = ".*" if name is None else f".{glob.escape(name)}.*.tmp"
    for folder in parent.glob(pattern):
        if folder.is_dir() and not folder.is_symlink():
            with suppress(OSError):
                _remove_if_abandoned(folder)


def _claim(parent: Path, name: str) -> tuple[Path, FileLock]:
    """Return a new folder and its acquired lock.

    If another process removed the folder before it was locked, locking creates it again.
    """
    outer = parent / f".{name}.{secrets.token_hex(4)}.tmp"
    outer.mkdir()
    lock = FileLock(outer / LOCK)
    lock.acquire()
    return outer, lock


def _remove_if_abandoned(folder: Path) -> None:
    if not (folder / LOCK).is_file():
        if not any(folder.iterdir()):
            folder.rmdir()  # about to be locked, which makes it again, or what a crash at its removal left
        elif time.time() - folder.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        with FileLock(folder / LOCK, timeout=0):
            shutil.rmtree(folder / CONTENT, ignore_errors=True)  # before the lock file
            shutil.rmtree(folder, ignore_errors=True)
    except Timeout:
        return
    if os.name == "nt":  # where the lock file, being open, could not be removed
        shutil.rmtree(folder, ignore_errors=True)
