"""Putting a finished bundle in its place: in one step, so that a reader or a crash sees the old one or the new one, whole."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import UsageError
from zoo.files import storage_errors, sync_file, sync_folder
from zoo.safe_files import read_text
from zoo.temporaries import remove_abandoned, temporary_folder

INDEX = "bundle.json"
LITTER = {"__pycache__", ".DS_Store", "Thumbs.db"}
"""What using a bundle leaves in it, and may be thrown away with it."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def check_target(target: Path) -> None:
    """Raises UsageError where something lies at ``target`` that is no bundle, or a bundle with files of the user's in it."""
    fix = "choose another --out"
    existing = next(folder for folder in (target, *target.absolute().parents) if folder.exists() or folder.is_symlink())
    if not existing.is_dir():
        raise UsageError(
            "the place to export to is a file" if existing == target else "the place to export to is inside a file", where=existing, fix=fix
        )
    if existing != target or not any(target.iterdir()):
        return
    listed = _listed(target)
    if listed is None:
        raise UsageError("the place to export to is a folder that holds something else than a bundle", where=target, fix=fix)
    strange = sorted(path.name for path in target.iterdir() if path.name not in listed | LITTER)
    if strange:
        raise UsageError(
            f"the bundle to be replaced holds files that are not its own: {', '.join(strange[:5])}", where=target, fix=f"move them, or {fix}"
        )


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """A new folder beside ``target``, hidden, gone at the end unless it was published. Clears away what killed exports left."""
    with storage_errors(target):
        _recover(target)
        remove_abandoned(target.parent, target.name)
    with temporary_folder(target.parent, target.name) as folder:
        yield folder


def publish(folder: Path, target: Path) -> None:
    """Make ``folder`` be ``target``. Raises UsageError as `check_target` does, StorageError where the disk refuses; the old bundle then stays."""
    check_target(target)
    with storage_errors(target):
        for file in folder.iterdir():
            sync_file(file)
        sync_folder(folder)
        if not target.exists():
            folder.rename(target)
        elif not any(target.iterdir()):
            target.rmdir()
            folder.rename(target)
        elif not _exchange(folder, target):
            _swap_aside(folder, target)
        sync_folder(target.parent)


def _exchange(folder: Path, target: Path) -> bool:
    """Swap two folders in one step (Linux); False where the system or the file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    if renameat2(AT_FDCWD, os.fsencode(folder), AT_FDCWD, os.fsencode(target), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(target))


def _swap_aside(folder: Path, target: Path) -> None:
    """Two renames; `_recover` mends what a crash between them leaves."""
    aside = target.with_name(f".{target.name}.old")
    target.rename(aside)
    try:
        folder.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _recover(target: Path) -> None:
    """An old bundle that was put aside comes back where no new one took its place."""
    aside = target.with_name(f".{target.name}.old")
    if aside.is_dir():
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(target)


def _listed(bundle: Path) -> set[str] | None:
    """The files that are a bundle's own, or None where the folder is no bundle."""
    try:
        index = json.loads(read_text(bundle / INDEX))
        return {INDEX, *index["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
