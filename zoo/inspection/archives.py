"""List archives without unpacking them: names, kinds and sizes of members, up to a limit."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from zoo.inspection.findings import Found, Unreadable
from zoo.inspection.pickles import read_pickle
from zoo.support.formatting import size
from zoo.support.untrusted_files import open_regular

READ_LIMIT = 256 << 20
"""Bytes, after decompression, that are read to list an archive."""
MOST_MEMBERS = 100_000
DIRECTORY = 46
"""Bytes of a zip's directory that a member takes at least."""


class Limited(io.RawIOBase):
    """A stream that allows reading up to `READ_LIMIT` bytes, and skips the content of members by seeking if
    possible."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._left = stream, READ_LIMIT

    def read(self, count: int = -1) -> bytes:
        if count < 0 or count > self._left:
            raise Unreadable(f"listing stopped after {size(READ_LIMIT)}; the rest was not read")
        self._left -= count
        return bytes(self._stream.read(count))

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())


def read_zip(path: Path, found: Found) -> None:
    _check_directory(path)
    with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
    if any(info.filename.rpartition("/")[2] == "data.pkl" for info in members):
        found.kind = "pickle in a zip (torch.save)"
        read_pickle(path, found)
        return
    unpacked = sum(info.file_size for info in members)
    found.facts |= {"members": len(members), "unpacked": size(unpacked)}
    found.list((info.filename, _zip_word(info)) for info in members)
    _refuse(
        found, [(info.filename, "link" if (info.external_attr >> 28) == 0xA else "file") for info in members], unpacked
    )


def _check_directory(path: Path) -> None:
    """Check the size of a zip's directory, because it is read as a whole."""
    with open_regular(path) as stream:
        stream.seek(max(0, path.stat().st_size - 65_557))
        tail = stream.read(65_557)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise Unreadable("it has no directory: it is incomplete, or not a zip file")
    length = struct.unpack("<L", tail[at + 12 : at + 16])[0]
    if length > MOST_MEMBERS * DIRECTORY * 4:
        raise Unreadable(f"its directory has {size(length)}: it is not listed")


def _zip_word(info: zipfile.ZipInfo) -> str:
    return "folder" if info.is_dir() else size(info.file_size) + (", with a password" if info.flag_bits & 1 else "")


def read_tar(path: Path, found: Found, compression: str | None) -> None:
    opened: dict[str, Any] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
    with open_regular(path) as raw:
        stream = raw if compression is None else opened[compression](raw)
        names, unpacked = [], 0
        try:
            with tarfile.open(fileobj=Limited(stream), mode="r:" if compression is None else "r|") as archive:
                for info in archive:
                    word = (
                        size(info.size)
                        if info.isreg()
                        else "folder"
                        if info.isdir()
                        else "link"
                        if info.issym() or info.islnk()
                        else "device"
                    )
                    found.list([(info.name, word)])
                    names.append((info.name, "file" if info.isreg() or info.isdir() else word))
                    unpacked += info.size
                    if len(names) == MOST_MEMBERS:
                        raise Unreadable(f"listing stopped after {MOST_MEMBERS:,} members")
        except (tarfile.TarError, EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise Unreadable("it is damaged, incomplete, or not a tar file") from error
        finally:
            found.facts |= {"members": len(names), "unpacked": size(unpacked)}
            _refuse(found, names, unpacked)


def read_rar(path: Path, found: Found) -> None:
    try:
        import rarfile
    except ModuleNotFoundError as error:
        raise Unreadable("listing a .rar needs the package rarfile: pip install 'torch-zoo[rar]'") from error
    with rarfile.RarFile(path) as archive:
        members = archive.infolist()
    found.facts |= {"members": len(members), "unpacked": size(sum(info.file_size for info in members))}
    found.list((info.filename, "folder" if info.is_dir() else size(info.file_size)) for info in members)
    _refuse(found, [(info.filename, "link" if info.is_symlink() else "file") for info in members], 0)


def _refuse(found: Found, members: list[tuple[str, str]], unpacked: int) -> None:
    """Add what zoo would refuse to unpack, with the first member for each reason."""
    reasons: dict[str, str] = {}
    for name, kind in members:
        plain = name.replace("\\", "/")
        if plain.startswith("/") or plain[1:2] == ":":
            reasons.setdefault("absolute path", name)
        if ".." in plain.split("/"):
            reasons.setdefault("leads out of the folder", name)
        if kind != "file":
            reasons.setdefault(f"{kind}", name)
    found.refused += [f"not unpacked by zoo: member {name[:80]}: {reason}" for reason, name in reasons.items()]
    if found.size and unpacked > max(1 << 30, 100 * found.size):
        found.refused.append(f"not unpacked by zoo: it comes to {size(unpacked)}, more than 100 times the archive")
