"""Writing files so that a reader, or a crash, sees the old content or the new and never a part."""

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
    """Bytes of a file name that are not UTF-8 are written as escapes."""
    write_bytes(path, without_surrogates(text).encode())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Text goes through `zoo.support.formatting.csv_cell`: a name is no formula in a spreadsheet."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for row in ([*header], *rows):
        writer.writerow([csv_cell(cell) if isinstance(cell, str) else cell for cell in row])
    write_text(path, stream.getvalue())


def write_json(path: Path, value: Any) -> None:
    r"""Bytes of a file name that are not UTF-8 are escaped as JSON has it, ``\udce9``: what is read is what was
    written."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Raises StorageError; the old file stays where it fails."""
    with replacement(path) as temporary:
        temporary.write_bytes(content)


def write_image(path: Path, image: Image) -> None:
    """In the format of the suffix. Raises UsageError for one that pillow does not know, StorageError."""
    from PIL.Image import registered_extensions

    kind = registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"no image format has the suffix '{path.suffix}'", where=path, fix="name a .png")
    with replacement(path) as temporary:
        image.save(temporary, kind)


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A new, empty file beside ``path``, for a library to write to: synced and renamed to ``path`` where the block ends
    well, else removed.

    A link at ``path`` is replaced, and what it leads to is left alone. Raises StorageError; the old file stays where it
    fails.
    """
    _refuse_device(path)
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


def _refuse_device(path: Path) -> None:
    """A file would take the place of /dev/null or /dev/stdout for the whole system, where the user has the right to do
    that."""
    try:
        device = path.parent.resolve().is_relative_to(DEVICES) or not any(
            kind(path.stat().st_mode) for kind in REPLACED
        )
    except OSError:
        return
    if device:
        raise StorageError(
            "cannot write: this is a device or belongs to the system, and no file takes its place",
            where=path,
            fix="name a file",
        )


def _remove_abandoned(path: Path) -> None:
    """Temporaries of this file that a killed process left.

    Nobody writes one file for a day: its time of change would be younger.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
        with suppress(OSError):
            found = left.lstat()
            if not stat.S_ISDIR(found.st_mode) and time.time() - found.st_mtime > ABANDONED_SECONDS:
                left.unlink()


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed process left of `replacement`, in a folder and those beneath it.

    The caller knows that nobody is writing there.
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
    """Of a regular file. Raises OSError for anything else, and where it grows faster than it is read."""
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
    """Turn the operating system's refusal to write into one line that says what to do."""
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
