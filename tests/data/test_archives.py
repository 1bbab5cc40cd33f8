"""Archives: what is in one comes out whole, and whatever should not come out leaves nothing behind."""

from __future__ import annotations

import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.data import archives, dataset_cache
from zoo.data.archives import unpack
from zoo.errors import DataError, SetupError
from zoo.support.atomic_files import sha256

FILES = {"pets/train/Cat/1.jpg": b"a cat", "pets/train/Dog/1.jpg": b"a dog", "pets/test/1.jpg": bytes(5000)}


def zipped(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def special(path: Path, kind: bytes, name: str = "pets/link", target: str = "/etc/passwd") -> Path:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        archive.addfile(info)
    return path


def linked_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("pets/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return path


def opened(path: Path) -> Path:
    return unpack(path, sha256(path))


def grow(content: Path) -> None:
    (content / "pets/train/Cat/2.jpg").write_bytes(b"another cat")


def shrink(content: Path) -> None:
    (content / "pets/train/Cat/1.jpg").unlink()


def zero(content: Path) -> None:
    (content / "pets/test/1.jpg").write_bytes(b"\1" * 5000)


def put_a_pipe(content: Path) -> None:
    (content / "pets/test/1.jpg").unlink()
    os.mkfifo(content / "pets/test/1.jpg")


def lose_digests(content: Path) -> None:
    (content.parent / archives.DIGESTS).unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (grow, "'pets/train/Cat/2.jpg' was added"),
        (shrink, "'pets/train/Cat/1.jpg' is missing"),
        (zero, "'pets/test/1.jpg' was changed"),
        (put_a_pipe, "'pets/test/1.jpg' was changed"),
        (lose_digests, "the digests of the files are missing"),
    ],
)
def test_what_was_changed_since_it_was_unpacked_is_unpacked_again_after_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], None], said: str
) -> None:
    archive = zipped(tmp_path / "pets.zip", FILES)
    content = opened(archive)
    change(content)
    capsys.readouterr()
    assert opened(archive) == content
    assert {
        path.relative_to(content).as_posix(): path.read_bytes() for path in content.rglob("*") if path.is_file()
    } == FILES
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert line.endswith("unpacking it again")
    opened(archive)
    assert capsys.readouterr().err == ""


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


MAKERS: dict[str, Callable[[Path], Path]] = {
    "zip": lambda path: zipped(path.with_suffix(".zip"), FILES),
    "stored zip": lambda path: zipped(path.with_suffix(".zip"), FILES, zipfile.ZIP_STORED),
    "tar": lambda path: tarred(path.with_suffix(".tar"), FILES),
    "tar.gz": lambda path: tarred(path.with_suffix(".tar.gz"), FILES, "w:gz"),
    "tgz": lambda path: tarred(path.with_suffix(".tgz"), FILES, "w:gz"),
    "tar.bz2": lambda path: tarred(path.with_suffix(".tar.bz2"), FILES, "w:bz2"),
    "tar.xz": lambda path: tarred(path.with_suffix(".tar.xz"), FILES, "w:xz"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_an_archive_is_unpacked_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = MAKERS[kind](tmp_path / "pets")
    folder = opened(path)
    assert content(folder) == FILES
    monkeypatch.setattr(archives, "extract", lambda *_: pytest.fail("unpacked again"))
    assert opened(path) == folder
    (entry,) = dataset_cache.entries()
    assert (entry.size, entry.description["files"]) == (sum(map(len, FILES.values())), 3)
    assert dataset_cache.clear([entry.key]) == entry.size and not folder.exists()


def test_a_name_says_nothing_of_the_form(tmp_path: Path) -> None:
    path = MAKERS["zip"](tmp_path / "pets").rename(tmp_path / "pets.tar.gz")
    assert content(opened(path)) == FILES


def test_what_a_mac_adds_is_left_out(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", {**FILES, "__MACOSX/pets/train/Cat/._1.jpg": b"x", "pets/empty/": b""})
    assert content(opened(path)) == FILES


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "../ in a zip": (lambda path: zipped(path, {"pets/../../evil.jpg": b"x"}), "leads out of the folder"),
    "../ in a tar": (lambda path: tarred(path, {"../evil.jpg": b"x"}), "leads out of the folder"),
    "..\\ in a zip": (lambda path: zipped(path, {"pets\\..\\..\\evil.jpg": b"x"}), "leads out of the folder"),
    "an absolute path": (lambda path: tarred(path, {"/tmp/evil.jpg": b"x"}), "has an absolute path"),
    "a drive": (lambda path: zipped(path, {"C:\\evil.jpg": b"x"}), "has an absolute path"),
    "a symbolic link": (lambda path: special(path, tarfile.SYMTYPE), "is a symbolic link"),
    "a hard link": (lambda path: special(path, tarfile.LNKTYPE), "is a hard link"),
    "a symbolic link in a zip": (linked_zip, "is a symbolic link"),
    "a device": (lambda path: special(path, tarfile.CHRTYPE), "is a device"),
    "a pipe": (lambda path: special(path, tarfile.FIFOTYPE), "is a pipe"),
    "the same name": (
        lambda path: tarred(path, {"a/1.jpg": b"x", "a/./1.jpg": b"y"}),
        "collides with another",
    ),
    "in case alone": (
        lambda path: zipped(path, {"a/Cat.jpg": b"x", "a/cat.JPG": b"y"}),
        "collides with another",
    ),
    "a file and a folder": (lambda path: zipped(path, {"a": b"x", "a/1.jpg": b"y"}), "collides with another"),
    "a folder and a file": (lambda path: zipped(path, {"a/1.jpg": b"y", "A": b"x"}), "collides with another"),
    "nothing in it": (lambda path: zipped(path, {"a/": b""}), "there are no files in this archive"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_trusted_is_named_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    make, said = BAD[case]
    path = make(tmp_path / "bad.archive")
    before = sorted(tmp_path.rglob("*.jpg"))
    with pytest.raises(DataError) as caught:
        opened(path)
    assert said in str(caught.value) and str(path) in str(caught.value)
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)
    assert list(archives.folder().iterdir()) == [] and sorted(tmp_path.rglob("*.jpg")) == before
    assert path.exists()


def test_case_43_a_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "bomb.zip", {"a/1.jpg": bytes(3_000_000)})
    monkeypatch.setattr(archives, "MIN_CAP", 1_000_000)
    with pytest.raises(
        DataError,
        match=r"its content exceeds 1,000,000 bytes, 100 times the archive's size: possibly a decompression bomb",
    ):
        opened(path)
    monkeypatch.setattr(archives, "MIN_CAP", 1 << 30)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    with pytest.raises(DataError, match="it has more than 2 members"):
        opened(zipped(tmp_path / "many.zip", FILES))
    assert list(archives.folder().iterdir()) == []


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_case_44_an_archive_that_was_cut_off_is_damaged(kind: str, share: float, tmp_path: Path) -> None:
    noise = {f"pets/Cat/{index}.jpg": os.urandom(40_000) for index in range(3)}
    mode = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
    path = (
        zipped(tmp_path / "pets.zip", noise) if kind == "zip" else tarred(tmp_path / f"pets.{kind}", noise, mode[kind])
    )
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match="is damaged or incomplete"):
        opened(path)
    assert list(archives.folder().iterdir()) == []


def test_an_altered_member_is_damaged(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", {"pets/1.jpg": bytes(range(256))}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(bytes(range(10, 20)), bytes(10)))
    with pytest.raises(DataError, match=r"damaged or incomplete, at 'pets/1\.jpg'"):
        opened(path)


def test_a_zip_whose_names_are_no_text_is_damaged(tmp_path: Path) -> None:
    """From fuzzing: the flag says that names are UTF-8, and a byte of one was changed."""
    path = zipped(tmp_path / "pets.zip", {"pets/é.jpg": b"x"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xfe"))
    with pytest.raises(DataError, match="damaged or incomplete"):
        opened(path)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<!DOCTYPE html><p>log in", "this file is a web page, not an archive"),
        (b"text", "not an archive in a supported"),
    ],
)
def test_case_45_a_web_page_in_place_of_an_archive_is_told(tmp_path: Path, body: bytes, said: str) -> None:
    (tmp_path / "pets.zip").write_bytes(body)
    with pytest.raises(DataError, match=said):
        opened(tmp_path / "pets.zip")


def test_a_rar_needs_its_package_and_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pets.rar").write_bytes(b"Rar!\x1a\x07\x01\x00" + bytes(100))
    monkeypatch.setitem(sys.modules, "rarfile", None)
    with pytest.raises(SetupError, match=r"needs the package rarfile .*pip install 'torch-zoo\[rar\]'"):
        opened(tmp_path / "pets.rar")


def vint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + vint(value >> 7)


def rar_block(kind: int, flags: int, body: bytes, data: bytes = b"") -> bytes:
    """A block of RAR 5.0: the CRC of the header, its size, type, flags and fields; then the data."""
    header = vint(kind) + vint(flags) + (vint(len(data)) if flags & 2 else b"") + body
    sized = vint(len(header)) + header
    return struct.pack("<L", zlib.crc32(sized)) + sized + data


def rarred(path: Path, files: dict[str, bytes]) -> Path:
    """RAR 5.0 without compression, by its published format: there is no free tool that writes one."""
    content = b"Rar!\x1a\x07\x01\x00" + rar_block(1, 0, vint(0))
    for name, data in files.items():
        body = vint(4) + vint(len(data)) + vint(0o100644) + struct.pack("<L", zlib.crc32(data)) + vint(0) + vint(1)
        content += rar_block(2, 2, body + vint(len(name.encode())) + name.encode(), data)
    path.write_bytes(content + rar_block(5, 0, vint(0)))
    return path


def test_a_rar_is_unpacked_as_the_others(tmp_path: Path) -> None:
    pytest.importorskip("rarfile", reason="needs the extra torch-zoo[rar]")
    assert content(opened(rarred(tmp_path / "pets.rar", FILES))) == FILES


def test_a_rar_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("rarfile", reason="needs the extra torch-zoo[rar]")
    with pytest.raises(DataError, match="leads out of the folder"):
        opened(rarred(tmp_path / "pets.rar", {"../out.jpg": b"x"}))
    assert not (tmp_path.parent / "out.jpg").exists()


@pytest.mark.skipif(shutil.which("bsdtar") is None, reason="needs the tool bsdtar")
def test_the_tool_bsdtar_reads_the_same_rar(tmp_path: Path) -> None:
    """The archive of these tests is one, by a reader that is not ours."""
    (tmp_path / "out").mkdir()
    subprocess.run(
        ["bsdtar", "-xf", str(rarred(tmp_path / "pets.rar", FILES)), "-C", str(tmp_path / "out")],
        check=True,
        timeout=60,
    )
    assert content(tmp_path / "out") == FILES
