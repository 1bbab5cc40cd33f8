"""Safe opening of files from untrusted sources.

Reading follows links, but accepts only regular files: a folder, named pipe, device or socket is refused before it is
opened, because opening or reading it may block forever. Appending follows no links and needs a regular file without
hard links, so that a log in an untrusted run cannot lead to a file outside of it. (`zoo.support.atomic_files` writes
complete files under a new name and renames them, which replaces a link instead of following it.)
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import IO

from zoo.errors import StorageError

TEXT_LIMIT = 1 << 30
"""The default limit in bytes for text files (tables, logs)."""
RECORD_LIMIT = 64 << 20
"""The limit in bytes for JSON records (run.json, bundle.json, the state of a checkpoint)."""
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a symbolic link"),
)


class UnsuitableFileError(OSError):
    """A file of an unsupported kind or size. Its text is the reason: "is a named pipe, not a regular file"."""

    def __init__(self, reason: str, path: str | os.PathLike[str]) -> None:
        super().__init__(errno.EINVAL, reason, os.fspath(path))

    def __str__(self) -> str:
        return str(self.strerror)


def check_regular(path: str | os.PathLike[str]) -> None:
    """Check that a path is a regular file, before a library opens it.

    Raises UnsuitableFileError, or FileNotFoundError and PermissionError like `os.stat`.
    """
    _check_kind(path, os.stat(path))  # noqa: PTH116  # a string serves too


def open_regular(path: Path) -> io.BufferedReader:
    """A regular file, for reading bytes. Raises UnsuitableFileError for anything else, and what opening raises."""
    check_regular(path)  # first, because to open some devices does something
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        _check_kind(path, os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, limit: int = TEXT_LIMIT) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises UnsuitableFileError for a larger one, even if its reported size is smaller.
    """
    with open_regular(path) as stream:
        content = stream.read(limit + 1) or b""  # None where the file has nothing to give yet, as some under /proc
    if len(content) > limit:
        raise UnsuitableFileError(f"has more than {limit:,} bytes, the limit", path)
    return content


def read_text(path: Path, limit: int = TEXT_LIMIT, encoding: str = "utf-8") -> str:
    """Like `read_bytes`, decoded. Also raises UnsuitableFileError if the content is not text in ``encoding``."""
    try:
        return read_bytes(path, limit).decode(encoding)
    except UnicodeDecodeError as error:
        raise UnsuitableFileError(f"is not {encoding.upper()} text", path) from error


def open_log(path: Path, mode: str = "a") -> IO[str]:
    """Open a log of a run, for appending (``"a"``, which creates a missing file) or for changes in place (``"r+"``).

    Raises StorageError if ``path`` is a link, has hard links, is not a regular file, or cannot be opened.
    """
    flags = os.O_APPEND | os.O_CREAT | os.O_WRONLY if mode == "a" else os.O_RDWR
    try:
        check_own_file(path)
        descriptor = os.open(
            path,
            flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0),
            0o666,
        )
        try:
            found = os.fstat(descriptor)
            _check_own(path, found)
            if not os.path.samestat(found, os.lstat(path)):  # systems without O_NOFOLLOW
                raise _foreign(path, "was replaced while it was opened")
            return os.fdopen(descriptor, mode, encoding="utf-8", newline="")
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise StorageError(
            f"cannot write: {error.strerror or error}", where=path, fix="choose a writable place, or repair the folder"
        ) from error


def check_own_file(path: Path) -> None:
    """Check a file before a library writes to it.

    Raises StorageError if it exists and is a link, has hard links or is not a regular file.
    """
    if os.path.lexists(path):
        _check_own(path, os.lstat(path))


def check_own_folders(root: Path) -> None:
    """Check that files written below ``root`` stay below it: raise StorageError if a folder in it is a link, or a link
    is broken.

    ``root`` itself and its parents may be links. Files may be links, because they are never written through.
    """
    pending = [root]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    elif entry.is_symlink() and not entry.is_file():
                        raise StorageError(
                            "a link stands where a folder of this run belongs, and nothing is written through it",
                            where=entry.path,
                            fix="remove the link, or put a copy of the folder in its place",
                        )
        except FileNotFoundError:  # removed in the meantime
            continue
        except OSError as error:
            raise StorageError(
                f"the folder cannot be read: {error.strerror or error}", where=root, fix="check its permissions"
            ) from error


def _check_kind(path: str | os.PathLike[str], found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UnsuitableFileError(f"is {_kind(found)}, not a regular file", path)


def _check_own(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _foreign(path, f"is {_kind(found)}, not a regular file")
    if found.st_nlink > 1:
        raise _foreign(path, "has a second name (a hard link)")


def _foreign(path: Path, what: str) -> StorageError:
    return StorageError(
        f"{path.name} {what}, so it is not written to",
        where=path,
        fix="put a copy of the file in its place, or remove it",
    )


def _kind(found: os.stat_result) -> str:
    return next((name for is_kind, name in KINDS if is_kind(found.st_mode)), "no file")
