"""Unpack archives of images (.zip, .tar with its compressions, .rar) into the cache, once. Archives are not trusted.

    CACHE/unpacked/KEY/content/…    what was in it; KEY begins the sha256 of the archive
                       digests.json the sha256 of each file, checked whenever it is used
                       entry.json   what it is

An archive is refused, and nothing is left, if a member leads out of the folder, is a link or a device, or collides with
another one, or if the number or size of the members exceeds the limits.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
import stat
import sys
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from zoo.errors import DataError, SetupError
from zoo.support.atomic_files import sha256, storage_errors, sync_folder, write_json
from zoo.support.paths import cache_root
from zoo.support.progress import announce, drawn
from zoo.support.temporary_folders import temporary_folder
from zoo.support.untrusted_files import read_text

CONTENT, FACTS, DIGESTS = "content", "entry.json", "digests.json"
MAX_MEMBERS = 2_000_000
MAX_RATIO, MIN_CAP = 100, 1 << 30
"""The maximum ratio of unpacked size to archive size; a gigabyte is always allowed."""
JUNK = "__MACOSX"
CHUNK = 1 << 20
SAY_FROM = 500
"""The number of members from which progress is shown."""
DAMAGED: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    ValueError,
    OSError,
)


@dataclass(frozen=True)
class Member:
    """A member of an archive. ``kind`` is file, folder, or a description of anything else; ``open`` opens a file."""

    name: str
    kind: str
    open: Callable[[], IO[bytes]]


def folder() -> Path:
    return cache_root() / "unpacked"


def unpack(archive: Path, digest: str, digest_of: Callable[[Path], str] = sha256) -> Path:
    """Return the folder with the content of ``archive``, whose sha256 is ``digest``.

    It is unpacked again, after a note, if a file in it has changed. ``digest_of`` returns the sha256 of a file. Raises
    DataError if the archive is unsafe or damaged, and StorageError.
    """
    place = folder() / digest[:32]
    if (place / FACTS).is_file():
        changed = _changed(place, digest_of)
        if changed is None:
            return place / CONTENT
        announce(f"{archive.name}: unpacked to {place}, but {changed}; unpacking it again")
        shutil.rmtree(place, ignore_errors=True)
    _unpack(archive, place)
    return place / CONTENT


def _changed(place: Path, digest_of: Callable[[Path], str]) -> str | None:
    """Return what has changed since the archive was unpacked, or None."""
    try:
        due = {_composed(name): str(digest) for name, digest in json.loads(read_text(place / DIGESTS)).items()}
    except (OSError, ValueError, AttributeError):
        return "the digests of the files are missing"
    content = place / CONTENT
    found = {_composed(path.relative_to(content).as_posix()): path for path in content.rglob("*") if not path.is_dir()}
    for name in sorted(found.keys() ^ due.keys()):
        return f"{name!r} {'was added' if name in found else 'is missing'}"
    for name, digest in due.items():
        try:
            if digest_of(found[name]) == digest:
                continue
        except OSError:
            pass
        return f"{name!r} was changed"
    return None


def _composed(name: str) -> str:
    """Return the composed form of a name, because some file systems return decomposed accents."""
    return unicodedata.normalize("NFC", name)


def _unpack(archive: Path, place: Path) -> None:
    with temporary_folder(place.parent, place.name) as temporary:
        with storage_errors(place):
            (temporary / CONTENT).mkdir()
        digests, size = extract(archive, temporary / CONTENT)
        write_json(temporary / DIGESTS, digests)
        facts = {"dataset": archive.name, "files": len(digests), "from": str(archive)}
        write_json(temporary / FACTS, {"created": datetime.now(UTC).isoformat(), "size": size, "description": facts})
        with storage_errors(place):
            if place.exists() and not (place / FACTS).is_file():
                shutil.rmtree(place, ignore_errors=True)  # the remains of an interrupted removal
            try:
                temporary.rename(place)
            except OSError:
                if not (place / FACTS).is_file():  # otherwise another process has just written the same content
                    raise
            sync_folder(place.parent)


def extract(archive: Path, to: Path) -> tuple[dict[str, str], int]:
    """Extract, and return the sha256 of each written file, by its path relative to ``to``, and the total size."""
    most = max(MIN_CAP, MAX_RATIO * archive.stat().st_size)
    names = _Names(archive)
    digests: dict[str, str] = {}
    size = 0
    with _members(archive) as members:
        for member in _progress(members, archive.name):
            target = names.place(member, to)
            if target is None:
                continue
            with storage_errors(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                written = hashlib.sha256()
                with target.open("xb") as stream:
                    for chunk in _chunks(member, archive):
                        size += len(chunk)
                        if size > most:
                            raise _untrusted(
                                archive,
                                f"its content exceeds {most:,} bytes, {MAX_RATIO} times the archive's size: possibly a "
                                "decompression bomb",
                            )
                        stream.write(chunk)
                        written.update(chunk)
            digests[target.relative_to(to).as_posix()] = written.hexdigest()
    if not digests:
        raise DataError("there are no files in this archive", where=archive, fix="download it again")
    return digests, size


class _Names:
    """The names so far, so that no two members have the same path on any file system."""

    def __init__(self, archive: Path) -> None:
        self._archive, self._files, self._folders, self._count = archive, set[str](), set[str](), 0

    def place(self, member: Member, root: Path) -> Path | None:
        """Return the path of a file; None for folders and macOS metadata. Raises DataError for unsafe members."""
        self._count += 1
        if self._count > MAX_MEMBERS:
            raise _untrusted(self._archive, f"it has more than {MAX_MEMBERS:,} members")
        name = member.name.replace("\\", "/")
        if name.startswith("/") or name[1:2] == ":":
            raise _untrusted(self._archive, f"its member {member.name!r:.80} has an absolute path")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise _untrusted(self._archive, f"its member {member.name!r:.80} leads out of the folder")
        if member.kind not in ("file", "folder"):
            raise _untrusted(self._archive, f"its member {member.name!r:.80} is a {member.kind}")
        if not parts or parts[0] == JUNK or member.kind == "folder":
            return None
        self._claim([unicodedata.normalize("NFC", part).casefold() for part in parts], member)
        return root.joinpath(*parts)

    def _claim(self, parts: list[str], member: Member) -> None:
        above = ["/".join(parts[:length]) for length in range(1, len(parts))]
        whole = "/".join(parts)
        if whole in self._files or whole in self._folders or not self._files.isdisjoint(above):
            raise _untrusted(self._archive, f"its member {member.name!r:.80} collides with another")
        self._files.add(whole)
        self._folders.update(above)


def _chunks(member: Member, archive: Path) -> Iterator[bytes]:
    try:
        with member.open() as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except _damage() as error:
        raise _damaged(archive, error, member.name) from error


# -------------------------------------------------------------------------------------------------------------- formats


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    kind = _format(archive)
    try:
        if kind is None:
            raise DataError(
                _what_it_is(archive), where=archive, fix="use a .zip, .tar, .tar.gz, .tar.bz2, .tar.xz or .rar file"
            )
        with FORMATS[kind](archive) as opened, closing(_listing(archive, opened)) as members:
            yield members
    except _damage() as error:
        if isinstance(error, OSError) and error.filename is not None and error.errno is not None:
            raise  # a disk error, not a fault of the archive
        raise _damaged(archive, error) from error


def _listing(archive: Path, opened: Any) -> Generator[Member, None, None]:
    try:
        match opened:
            case zipfile.ZipFile():
                yield from _zip(opened)
            case tarfile.TarFile():
                yield from _tar(opened)
            case _:
                yield from _rar(opened)
    except _damage() as error:
        raise _damaged(archive, error) from error


def _zip(opened: zipfile.ZipFile) -> Iterator[Member]:
    for info in opened.infolist():
        mode = info.external_attr >> 16
        kind = "folder" if info.is_dir() else _kind_of(mode)
        yield Member(info.filename, "file with a password" if info.flag_bits & 1 else kind, partial(opened.open, info))


def _tar(opened: tarfile.TarFile) -> Iterator[Member]:
    for info in opened:
        kind = next((kind for kind, is_kind in TAR_KINDS if is_kind(info)), "device")
        yield Member(info.name, kind, partial(_content, opened, info))


def _content(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = opened.extractfile(info)
    if stream is None:
        raise tarfile.ReadError("it has no content")
    return stream


def _rar(opened: Any) -> Iterator[Member]:
    for info in opened.infolist():
        kind = "folder" if info.is_dir() else "symbolic link" if info.is_symlink() else "file"
        yield Member(info.filename, kind, partial(opened.open, info))


def _kind_of(mode: int) -> str:
    """Of a zip's member made on Unix; others have no mode."""
    known = {
        stat.S_IFLNK: "symbolic link",
        stat.S_IFIFO: "pipe",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
        stat.S_IFSOCK: "socket",
    }
    return known.get(stat.S_IFMT(mode), "file")


def _open_rar(archive: Path) -> Any:
    """Open with rarfile, which calls unrar, unar, 7z or bsdtar for compressed members.

    Raises SetupError if rarfile or such a tool is missing.
    """
    try:
        import rarfile
    except ModuleNotFoundError as error:
        raise SetupError(
            "unpacking .rar needs the package rarfile",
            where=archive,
            fix="pip install 'torch-zoo[rar]', or pack the images as .zip",
        ) from error
    try:
        opened = rarfile.RarFile(archive)
    except rarfile.Error as error:
        raise _damaged(archive, error) from error
    if opened.needs_password():
        raise _untrusted(archive, "it needs a password")
    if any(info.is_file() and info.compress_type != rarfile.RAR_M0 for info in opened.infolist()):
        try:
            rarfile.tool_setup()
        except rarfile.RarCannotExec as error:
            raise SetupError(
                "unpacking a compressed .rar file needs an external tool",
                where=archive,
                fix="install unrar, unar, 7z or bsdtar, or pack the images as .zip",
            ) from error
    return opened


TAR_KINDS: tuple[tuple[str, Callable[[tarfile.TarInfo], bool]], ...] = (
    ("file", tarfile.TarInfo.isreg),
    ("folder", tarfile.TarInfo.isdir),
    ("hard link", tarfile.TarInfo.islnk),
    ("symbolic link", tarfile.TarInfo.issym),
    ("pipe", tarfile.TarInfo.isfifo),
)
FORMATS: dict[str, Callable[[Path], Any]] = {
    "zip": zipfile.ZipFile,
    "tar": lambda archive: tarfile.open(archive, "r:*"),  # noqa: SIM115  # it is closed by who asked for it
    "rar": _open_rar,
}


def _format(archive: Path) -> str | None:
    """Return the format by the first bytes, because the name may be wrong."""
    with archive.open("rb") as stream:
        head = stream.read(262)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"Rar!\x1a\x07"):
        return "rar"
    compressed = head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")) and ".t" in archive.name.lower()
    return "tar" if compressed or head[257:262] == b"ustar" else None


def _what_it_is(archive: Path) -> str:
    with archive.open("rb") as stream:
        head = stream.read(512).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "this file is a web page, not an archive"
    return "this file is not an archive in a supported format"


def _damage() -> tuple[type[Exception], ...]:
    """Return the exceptions raised for damaged archives, including rarfile's if it is imported."""
    rarfile = sys.modules.get("rarfile")
    return DAMAGED if rarfile is None else (*DAMAGED, rarfile.Error)


def _damaged(archive: Path, error: BaseException, member: str | None = None) -> DataError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    where = "" if member is None else f", at {member!r:.80}"
    other = "; or install unrar, which supports more .rar variants" if "rarfile" in type(error).__module__ else ""
    return DataError(
        f"this archive is damaged or incomplete{where}: {reason}",
        where=archive,
        fix=f"download it again{other}",
    )


def _untrusted(archive: Path, what: str) -> DataError:
    return DataError(
        f"this archive is not unpacked: {what}",
        where=archive,
        fix="if you trust it, unpack it yourself and use the folder",
    )


def _progress(members: Iterator[Member], name: str) -> Iterator[Member]:
    """Yield the members, with a progress bar on stderr if that is a terminal, otherwise after a line."""
    if sys.stderr.isatty():
        yield from drawn(members, f"{name}: unpacking")
        return
    for index, member in enumerate(members):
        if index == SAY_FROM:
            announce(f"{name}: unpacking, once")
        yield member
