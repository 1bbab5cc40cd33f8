"""Publish a finished bundle atomically: a reader, also after a crash, sees the complete old or the complete new one.

Linux can exchange two folders in one step. On other systems, the new files are first copied into the old bundle under
hidden names with their digest (``.predict.py.3f9a…``). Then bundle.json is replaced, which is the atomic step, and each
file is renamed. Until then, `zoo.runtime` reads a file that does not match bundle.json under its hidden name. A program
that opens only the model finds the old or the new one at any time.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from zoo.errors import StorageError, UsageError
from zoo.support.atomic_files import sha256, storage_errors, sync_file, sync_folder, write_json
from zoo.support.temporary_folders import remove_abandoned, temporary_folder
from zoo.support.untrusted_files import UnsuitableFileError, read_text

INDEX, VERIFICATION, SIGNATURE = "bundle.json", "verify.json", "model.sig"
LOCK, JOURNAL = ".publishing.lock", ".publishing.json"
HIDDEN = re.compile(r"\.(.+)\.[0-9a-f]{16}")
LITTER = {"__pycache__", ".DS_Store", "Thumbs.db"}
"""Files that the use of a bundle leaves in it; they may be deleted with it."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def check_target(target: Path) -> None:
    """Raise UsageError if ``target`` exists and is not a bundle, or is a bundle with other files in it."""
    fix = "choose another --out"
    existing = next(folder for folder in (target, *target.absolute().parents) if folder.exists() or folder.is_symlink())
    if not existing.is_dir():
        raise UsageError(
            "the output folder is a file" if existing == target else "a parent of the output folder is a file",
            where=existing,
            fix=fix,
        )
    if target.is_symlink():
        raise UsageError(
            "the output folder is a symbolic link",
            where=target,
            fix=f"remove it, or {fix}",
        )
    if existing != target or not any(target.iterdir()):
        return
    listed = _listed(target)
    if listed is None:
        raise UsageError("the output folder exists and is not a bundle", where=target, fix=fix)
    strange = sorted(path.name for path in target.iterdir() if not _is_own(path, listed))
    if strange:
        raise UsageError(
            f"the bundle to replace contains other files: {', '.join(strange[:5])}",
            where=target,
            fix=f"move them, or {fix}",
        )


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """Yield a new hidden folder beside ``target``; it is removed at the end unless it was published.

    Folders that killed exports left are removed, too.
    """
    with storage_errors(target):
        remove_abandoned(target.parent, target.name)
    with temporary_folder(target.parent, target.name) as folder:
        yield folder


def publish(folder: Path, target: Path) -> None:
    """Replace ``target`` by ``folder``.

    Raises UsageError as `check_target` does, or StorageError if writing fails; the old bundle then stays.
    """
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
        elif not exchange(folder, target):
            with FileLock(target / LOCK):
                _replace_files(folder, target)
            shutil.rmtree(folder)
        sync_folder(target.parent)


def exchange(folder: Path, target: Path) -> bool:
    """Exchange two folders atomically (Linux); return False if the system or the file system does not support it."""
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


def _replace_files(folder: Path, target: Path) -> None:
    """Replace file by file; replacing bundle.json is the atomic step.

    Files that a crash left are removed, or used to complete the replacement.
    """
    new = {
        file.name: target / hidden_name(file.name, sha256(file))
        for file in sorted(folder.iterdir())
        if file.name != INDEX
    }
    write_json(folder / JOURNAL, {"files": sorted(_listed(target) or ())})
    try:
        (folder / JOURNAL).replace(target / JOURNAL)
        for name, hidden in new.items():
            (folder / name).replace(hidden)
        sync_folder(target)
        (folder / INDEX).replace(target / INDEX)
    except OSError:
        for left in (*new.values(), target / JOURNAL):
            left.unlink(missing_ok=True)
        raise
    sync_folder(target)
    for name, hidden in new.items():
        hidden.replace(target / name)
    kept = {INDEX, *new} | LITTER
    for path in sorted(target.iterdir(), key=lambda path: path.name == JOURNAL):  # the journal is removed last
        if path.name not in kept:
            _remove(path)
    sync_folder(target)


def _remove(path: Path) -> None:
    """Systems that remove no open file keep the lock, which the next publishing takes again."""
    try:
        path.unlink()
    except PermissionError:
        if path.name != LOCK:
            raise


def hidden_name(name: str, digest: str) -> str:
    """Return the temporary name of a bundle's file while the old file has its name (see `zoo.runtime`)."""
    return f".{name}.{digest[:16]}"


def _listed(bundle: Path) -> set[str] | None:
    """Return the files that belong to a bundle, or to one whose replacement was interrupted; None if the folder is not
    a bundle.

    Raises StorageError if the folder cannot be read.
    """
    try:
        before = json.loads(read_text(bundle / JOURNAL))["files"] if (bundle / JOURNAL).exists() else ()
        return {INDEX, VERIFICATION, SIGNATURE, *json.loads(read_text(bundle / INDEX))["files"], *before}
    except (FileNotFoundError, UnsuitableFileError, ValueError, KeyError, TypeError):
        return None
    except OSError as error:
        what = f"the bundle to replace cannot be read: {error.strerror or error}"
        raise StorageError(what, where=bundle, fix="repair the folder, or choose another --out") from error


def _is_own(path: Path, listed: set[str]) -> bool:
    """Return whether a file belongs to the bundle, or was left by its use or by an interrupted export."""
    if path.name in listed | LITTER | {LOCK, JOURNAL}:
        return True
    hidden = HIDDEN.fullmatch(path.name)
    return hidden is not None and path.is_file() and path.name == hidden_name(hidden[1], sha256(path))
