"""Atomic writing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from PIL import Image

from zoo.errors import StorageError, UsageError
from zoo.support import atomic_files
from zoo.support.atomic_files import (
    remove_temporaries,
    replacement,
    sha256,
    storage_errors,
    sync_folder,
    write_bytes,
    write_csv,
    write_image,
    write_json,
    write_text,
)


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "a long first content")
    write_text(path, "é")
    assert path.read_bytes() == "é".encode()
    write_json(path, {"ü": [1, 2]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"ü": [1, 2]}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "choose a writable place"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "check the disk"),
    ],
)
def test_a_write_that_fails_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fix: str
) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def full(_descriptor: int) -> None:
        raise OSError(number, "no luck")

    monkeypatch.setattr(atomic_files.os, "fsync", full)
    with pytest.raises(StorageError) as caught:
        write_bytes(path, b"new")
    assert "no luck" in str(caught.value)
    assert str(path) in str(caught.value)
    assert fix in str(caught.value)
    assert caught.value.exit_code == 7
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="devices have no such names there")
def test_no_file_takes_the_place_of_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").symlink_to(os.devnull)
    with pytest.raises(StorageError, match="cannot be replaced"):
        write_text(tmp_path / "out", "x")
    assert (tmp_path / "out").is_symlink()
    monkeypatch.setattr(atomic_files, "DEVICES", tmp_path / "dev")
    (tmp_path / "dev").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "dev")
    with pytest.raises(StorageError, match="cannot be replaced"):
        write_text(tmp_path / "link" / "stdout", "x")


def test_an_image_is_written_in_the_format_of_its_suffix(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", Image.new("L", (3, 2), 7))
    with Image.open(tmp_path / "a.png") as image:
        assert (image.format, image.size, image.getpixel((0, 0))) == ("PNG", (3, 2), 7)
    with pytest.raises(UsageError, match=r"'\.txt'"):
        write_image(tmp_path / "a.txt", Image.new("L", (3, 2)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_what_a_killed_process_left_of_a_file_goes_after_a_day(tmp_path: Path) -> None:
    for name, age in (
        (".a.0123abcd.tmp", 2 * atomic_files.ABANDONED_SECONDS),
        (".a.4567cdef.tmp", 60),
        (".b.0123abcd.tmp", 2 * atomic_files.ABANDONED_SECONDS),
    ):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    write_text(tmp_path / "a", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.4567cdef.tmp", ".b.0123abcd.tmp", "a"]


def test_a_temporary_is_never_a_file_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "diary.txt"
    mine.write_text("dear diary", encoding="utf-8")
    monkeypatch.setattr(atomic_files.secrets, "token_hex", lambda _count: "guessed")
    (tmp_path / ".a.guessed.tmp").symlink_to(mine)
    with pytest.raises(StorageError):
        write_text(tmp_path / "a", "x")
    assert mine.read_text(encoding="utf-8") == "dear diary"


def test_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        write_text(tmp_path / "no" / "file.txt", "x")


def test_other_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), storage_errors(tmp_path):
        raise ValueError("mine")


def test_a_digest_is_hashlib_s(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_bytes_of_a_name_that_are_not_utf_8_are_written_as_escapes_and_json_gives_them_back(tmp_path: Path) -> None:
    name = "caf\udce9.png"
    write_text(tmp_path / "a.txt", name)
    write_csv(tmp_path / "a.csv", ["file"], [[name]])
    write_json(tmp_path / "a.json", {name: [name, "é"]})
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == r"caf\xe9.png"
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "file\n" + r"caf\xe9.png" + "\n"
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {name: [name, "é"]}


def test_temporaries_of_a_killed_process_are_removed_and_nothing_else(tmp_path: Path) -> None:
    inside = tmp_path / "plots"
    inside.mkdir()
    with replacement(inside / "a.png") as temporary:
        left = inside / temporary.name.replace("a.png", "b.png")
        left.write_bytes(b"cut off")
    others = [tmp_path / ".notes.tmp", tmp_path / ".a.12345678.tmpx", inside / "c.12345678.tmp"]
    for each in others:
        each.write_text("the user's", encoding="utf-8")
    remove_temporaries(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted([inside / "a.png", *others])


def test_a_file_that_was_replaced_is_no_failure_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is removed once the new file is in place: a disk that fails then would spoil what succeeded."""
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: pytest.fail("nothing is left to remove"))
    write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize(("code", "raised"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_folder_that_its_file_system_does_not_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, raised: bool
) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="error") if raised else nullcontext():
        sync_folder(tmp_path)


def test_a_system_that_opens_no_folder_syncs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_DIRECTORY", raising=False)
    sync_folder(tmp_path / "missing")
