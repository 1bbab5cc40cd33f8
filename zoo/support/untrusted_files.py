"""Opening files that somebody else may have prepared.

Reading follows links and takes regular files alone: a folder, named pipe, device or socket is refused before it is
opened, since opening or reading one may never end. Appending follows no link and takes a regular file with one name, so
that a log planted in a third party's run leads to no file outside of it. (Whole files are written by
`zoo.support.atomic_files`, under a new name that is then renamed: a link in the way is replaced, not followed.)
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
"""Bytes of a text file that are read at most where its reader names no limit of its own: tables, logs of a run."""
RECORD_LIMIT = 64 << 20
"""Bytes of a JSON record (run.json, bundle.json, a checkpoint's state) that are read at most."""
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a symbolic link"),
)


class UnsuitableFileError(OSError):
    """A file of a kind, or of a size, that is not read.

    As text it is the reason alone: "is a named pipe, not a regular file".
    """

    def __init__(self, reason: str, path: str | os.PathLike[str]) -> None:
        super().__init__(errno.EINVAL, reason, os.fspath(path))

    def __str__(self) -> str:
        return str(self.strerror)


def check_regular(path: str | os.PathLike[str]) -> None:
    """For libraries that open a path themselves.

    Raises UnsuitableFileError, or FileNotFoundError, PermissionError as `os.stat` does.
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
    """The content of a regular file of at most ``limit`` bytes.

    Raises UnsuitableFileError for a larger one, whatever size it claims to have.
    """
    with open_regular(path) as stream:
        content = stream.read(limit + 1) or b""  # None where the file has nothing to give yet, as some under /proc
    if len(content) > limit:
        raise UnsuitableFileError(f"has more than the {limit:,} bytes that are read", path)
    return content


def read_text(path: Path, limit: int = TEXT_LIMIT, encoding: str = "utf-8") -> str:
    """As `read_bytes`. Raises UnsuitableFileError too where the content is no text in ``encoding``."""
    try:
        return read_bytes(path, limit).decode(encoding)
    except UnicodeDecodeError as error:
        raise UnsuitableFileError(f"is not {encoding.upper()} text", path) from error


def open_log(path: Path, mode: str = "a") -> IO[str]:
    """A file of a run's own, for appending text (``"a"``) or changing it in place (``"r+"``); ``"a"`` makes it where it
    is missing.

    Raises StorageError where ``path`` is a link, has a second name (a hard link) or is no regular file, and where it
    cannot be opened.
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
    """For libraries that open a file to write to it.

    Raises StorageError where one is there that is a link, has a second name or is not regular.
    """
    if os.path.lexists(path):
        _check_own(path, os.lstat(path))


def check_own_folders(root: Path) -> None:
    """What is written below ``root`` must stay below it: raises StorageError where a folder in it is a link (or a link
    leads nowhere).

    ``root`` itself, and the folders above it, may be links. So may files, because they are never written through.
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
