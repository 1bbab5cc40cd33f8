"""Write files atomically: a reader, also after a crash, sees the complete old or the complete new content."""

from __future__ import annotations

import csv
import errno
import fnmatch
import glob
import hashlib
import io
import json
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import StorageError, UsageError
from zoo.support.formatting import csv_cell, without_surrogates
from zoo.support.untrusted_files import UnsuitableFileError, open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

DEVICES = Path("/dev")
REPLACED = (stat.S_ISREG, stat.S_ISFIFO, stat.S_ISSOCK, stat.S_ISDIR)
"""Kinds of what a name may lead to that is given to a new file; of a folder, the system says what is wrong."""
ABANDONED_SECONDS = 24 * 3600.0
CHUNK = 1 << 20


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8; bytes of file names that are not UTF-8 are escaped."""
    write_bytes(path, without_surrogates(text).encode())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file; text is escaped by `zoo.support.formatting.csv_cell` against formulas in spreadsheets."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for row in ([*header], *rows):
        writer.writerow([csv_cell(cell) if isinstance(cell, str) else cell for cell in row])
    write_text(path, stream.getvalue())


def write_json(path: Path, value: Any) -> None:
    r"""Write JSON. Bytes of file names that are not UTF-8 are escaped (``\udce9``), so that they can be read back."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically. Raises StorageError; the old file then stays unchanged."""
    with replacement(path) as temporary:
        temporary.write_bytes(content)


def write_image(path: Path, image: Image, **options: Any) -> None:
    """Write an image in the format of the suffix, with options of Pillow's `save`. Raises UsageError for an unknown
    suffix, and StorageError."""
    from PIL.Image import registered_extensions

    kind = registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"no image format has the suffix '{path.suffix}'", where=path, fix="name a .png")
    with replacement(path) as temporary:
        image.save(temporary, kind, **options)


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yield a new, empty file beside ``path``, for a library to write to. It is synced and renamed to ``path`` at the
    end of the block, or removed if the block raises.

    A link at ``path`` is replaced; its target is not changed. Raises StorageError; the old file then stays unchanged.
    """
    refuse_device(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with storage_errors(path):
        _remove_abandoned(path)
        # never a file that is there
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666))
        try:
            yield temporary
            sync_file(temporary)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):  # the error to report is the one before
                temporary.unlink()
            raise
        sync_folder(path.parent)


def refuse_device(path: Path) -> None:
    """Refuse devices: with the necessary rights, the file would replace /dev/null or /dev/stdout for all programs."""
    try:
        device = path.parent.resolve().is_relative_to(DEVICES) or not any(
            kind(path.stat().st_mode) for kind in REPLACED
        )
    except OSError:
        return
    if device:
        raise StorageError(
            "cannot write: this is a device or a system file, which cannot be replaced",
            where=path,
            fix="name a file",
        )


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files of ``path`` that a killed process left, if they are more than a day old."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
        with suppress(OSError):
            found = left.lstat()
            if not stat.S_ISDIR(found.st_mode) and time.time() - found.st_mtime > ABANDONED_SECONDS:
                left.unlink()


def remove_temporaries(folder: Path) -> None:
    """Remove temporary files of `replacement` in a folder and its subfolders.

    Call it only if no other process is writing there.
    """
    for place, _, names in os.walk(folder):
        for name in fnmatch.filter(names, ".*.????????.tmp"):
            with suppress(OSError):
                (Path(place) / name).unlink()


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the system can.

    Windows opens no folder, and some network file systems sync none; the rename itself is done by then.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def sha256(path: Path) -> str:
    """Return the sha256 of a regular file. Raises OSError for anything else, and if it grows while it is read."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(CHUNK))
    with open_regular(path) as stream:
        left = max(os.fstat(stream.fileno()).st_size, CHUNK)  # some file systems say 0 of files with content
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
            left -= count
            if left < 0:
                raise UnsuitableFileError("grows while it is read", path)
    return digest.hexdigest()


@contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Turn an OSError of writing into a one-line StorageError with a fix."""
    try:
        yield
    except OSError as error:
        fixes = {
            errno.ENOSPC: "free some space",
            errno.EDQUOT: "free some of your quota",
            errno.EROFS: "choose a writable place",
            errno.EACCES: "choose a writable place",
            errno.EIO: "check the disk, or choose a place on another one",
        }
        fix = fixes.get(error.errno or 0, "check the path, or choose another place")
        raise StorageError(f"cannot write: {error.strerror or error}", where=where, fix=fix) from error
