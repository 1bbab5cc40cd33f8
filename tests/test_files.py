"""Atomic writing."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import pytest

from zoo import files
from zoo.errors import StorageError
from zoo.files import sha256, storage_errors, write_bytes, write_json, write_text


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "a long first content")
    write_text(path, "é")
    assert path.read_bytes() == "é".encode()
    write_json(path, {"ü": [1, 2]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"ü": [1, 2]}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "fix"), [(errno.ENOSPC, "free some space"), (errno.EROFS, "choose a writable place"), (errno.EDQUOT, "quota"), (errno.EIO, "")]
)
def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fix: str) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def full(_descriptor: int) -> None:
        raise OSError(number, "no luck")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StorageError) as caught:
        write_bytes(path, b"new")
    assert "no luck" in str(caught.value)
    assert str(path) in str(caught.value)
    assert fix in str(caught.value)
    assert caught.value.exit_code == 7
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


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
