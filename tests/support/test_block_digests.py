"""Any change of a file is found, and the block that it is in."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from zoo.support.block_digests import BLOCK_BYTES, block_digests, first_change


@pytest.fixture(scope="module")
def content() -> bytes:
    return np.random.default_rng(0).bytes(2 * BLOCK_BYTES + 5)


def test_a_digest_is_hashlib_s_of_every_16_mib(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    due = [hashlib.sha256(content[start : start + 16 * 2**20]).hexdigest() for start in (0, 16 * 2**20, 32 * 2**20)]
    assert block_digests(tmp_path / "file") == due
    assert first_change(tmp_path / "file", due) is None


def test_an_empty_file_has_a_digest_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert block_digests(tmp_path / "file") == [hashlib.sha256(b"").hexdigest()]
    assert first_change(tmp_path / "file", [hashlib.sha256(b"x").hexdigest()]) == 0


@pytest.mark.parametrize(("place", "block"), [(0, 0), (BLOCK_BYTES - 1, 0), (BLOCK_BYTES, 1), (2 * BLOCK_BYTES + 4, 2)])
def test_one_bit_is_found(tmp_path: Path, content: bytes, place: int, block: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    digests = block_digests(file)
    with file.open("r+b") as stream:
        stream.seek(place)
        stream.write(bytes([content[place] ^ 1]))
    assert first_change(file, digests) == block * BLOCK_BYTES


@pytest.mark.parametrize(
    ("size", "block"),
    [(0, 0), (BLOCK_BYTES, 1), (2 * BLOCK_BYTES + 4, 2), (2 * BLOCK_BYTES + 6, 2), (3 * BLOCK_BYTES + 1, 2)],
)
def test_a_file_cut_off_or_longer_is_found(tmp_path: Path, content: bytes, size: int, block: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    digests = block_digests(file)
    os.truncate(file, size)
    assert first_change(file, digests) == block * BLOCK_BYTES
