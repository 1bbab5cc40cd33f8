"""Putting a finished bundle in its place: in one step, so that a reader or a crash sees the old one or the new one,
whole.

Linux exchanges two folders in one step. Where that is not to be had, the new files are first laid into the old bundle
under hidden names that hold their digest (``.model.onnx.3f9a…``), then bundle.json is replaced, which is the one step,
and then each file takes its own name. In between, `zoo.runtime` finds a file that is not what bundle.json says under
its hidden name; a program that opens model.onnx alone finds one at any time.
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

INDEX = "bundle.json"
LOCK, JOURNAL = ".publishing.lock", ".publishing.json"
HIDDEN = re.compile(r"\.(.+)\.[0-9a-f]{16}")
LITTER = {"__pycache__", ".DS_Store", "Thumbs.db"}
"""What using a bundle leaves in it, and may be thrown away with it."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def check_target(target: Path) -> None:
    """Raises UsageError where something lies at ``target`` that is no bundle, or a bundle with files of the user's in
    it."""
    fix = "choose another --out"
    existing = next(folder for folder in (target, *target.absolute().parents) if folder.exists() or folder.is_symlink())
    if not existing.is_dir():
        raise UsageError(
            "the place to export to is a file" if existing == target else "the place to export to is inside a file",
            where=existing,
            fix=fix,
        )
    if target.is_symlink():
        raise UsageError(
            "the place to export to is a link to another folder, which is not written through",
            where=target,
            fix=f"remove it, or {fix}",
        )
    if existing != target or not any(target.iterdir()):
        return
    listed = _listed(target)
    if listed is None:
        raise UsageError(
            "the place to export to is a folder that holds something else than a bundle", where=target, fix=fix
        )
    strange = sorted(path.name for path in target.iterdir() if not _is_own(path, listed))
    if strange:
        raise UsageError(
            f"the bundle to be replaced holds files that are not its own: {', '.join(strange[:5])}",
            where=target,
            fix=f"move them, or {fix}",
        )


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """A new folder beside ``target``, hidden, gone at the end unless it was published.

    Clears away what killed exports left.
    """
    with storage_errors(target):
        remove_abandoned(target.parent, target.name)
    with temporary_folder(target.parent, target.name) as folder:
        yield folder


def publish(folder: Path, target: Path) -> None:
    """Make ``folder`` be ``target``.

    Raises UsageError as `check_target` does, StorageError where the disk refuses; the old bundle then stays.
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


def _replace_files(folder: Path, target: Path) -> None:
    """File by file, with bundle.json as the step that counts.

    What a crash left before or after it is taken away, or gone on from.
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
    for path in sorted(target.iterdir(), key=lambda path: path.name == JOURNAL):  # which goes last
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
    """Of a file of a bundle while another one has its name (see `zoo.runtime`)."""
    return f".{name}.{digest[:16]}"


def _listed(bundle: Path) -> set[str] | None:
    """The files that are a bundle's own, or were those of the one whose replacing was cut off; None where the folder is
    no bundle.

    Raises StorageError where that cannot be found out.
    """
    try:
        before = json.loads(read_text(bundle / JOURNAL))["files"] if (bundle / JOURNAL).exists() else ()
        return {INDEX, *json.loads(read_text(bundle / INDEX))["files"], *before}
    except (FileNotFoundError, UnsuitableFileError, ValueError, KeyError, TypeError):
        return None
    except OSError as error:
        what = f"the bundle to be replaced cannot be read: {error.strerror or error}"
        raise StorageError(what, where=bundle, fix="repair the folder, or choose another --out") from error


def _is_own(path: Path, listed: set[str]) -> bool:
    """Whether a file is the bundle's, or what its use, or a publishing that was cut off, left in it."""
    if path.name in listed | LITTER | {LOCK, JOURNAL}:
        return True
    hidden = HIDDEN.fullmatch(path.name)
    return hidden is not None and path.is_file() and path.name == hidden_name(hidden[1], sha256(path))
