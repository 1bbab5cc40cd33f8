"""The cache of decoded images: whole or not there, shared, and kept under its limit."""

from __future__ import annotations

import errno
import json
import os
import time
from collections import namedtuple
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from zoo.data import dataset_cache
from zoo.errors import StorageError, UsageError
from zoo.support.temporary_folders import ABANDONED_SECONDS


def build(key="a", value=1, shape=(4, 1, 2, 2), calls=None):
    def fill(array):
        if calls is not None:
            calls.append(key)
        array[:] = value

    return dataset_cache.open_or_build(key, shape, {"dataset": "toy"}, fill)


def test_an_entry_is_built_once_and_mapped_copy_on_write() -> None:
    calls = []
    first = build(calls=calls)
    assert isinstance(first, np.memmap)
    assert first.shape == (4, 1, 2, 2)
    first[:] = 9  # torch wants to be able to
    again = build(calls=calls)
    assert calls == ["a"]
    assert np.array_equal(again, np.ones((4, 1, 2, 2), np.uint8))


def test_entries_say_what_they_are_and_when_they_were_used() -> None:
    build("a")
    build("b")
    os.utime(dataset_cache.folder() / "a" / dataset_cache.FACTS, (time.time() + 10, time.time() + 10))
    first, second = dataset_cache.entries()
    assert (first.key, second.key) == ("a", "b")
    assert first.description == {"dataset": "toy"}
    assert first.size == (first.path / dataset_cache.IMAGES).stat().st_size > 16
    assert abs(second.created - datetime.now(UTC)) < timedelta(minutes=1)


def test_clearing_frees_what_it_says() -> None:
    build("a")
    build("b")
    sizes = {entry.key: entry.size for entry in dataset_cache.entries()}
    assert dataset_cache.clear(["a", "unknown"]) == sizes["a"]
    assert [entry.key for entry in dataset_cache.entries()] == ["b"]
    (dataset_cache.folder() / ".left.1.tmp").mkdir()
    os.utime(dataset_cache.folder() / ".left.1.tmp", (0, 0))
    assert dataset_cache.clear() == sizes["b"]
    assert list(dataset_cache.folder().iterdir()) == []


def test_what_fails_while_it_is_built_leaves_nothing() -> None:
    def fail(array):
        array[:] = 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        dataset_cache.open_or_build("a", (2, 1, 1, 1), {}, fail)
    assert list(dataset_cache.folder().iterdir()) == []


@pytest.mark.parametrize("damage", ["facts", "images", "empty facts", "cut images"])
def test_a_damaged_entry_is_built_again(damage) -> None:
    build()
    if damage == "empty facts":
        (dataset_cache.folder() / "a" / dataset_cache.FACTS).write_text("")
    elif damage == "cut images":
        os.truncate(dataset_cache.folder() / "a" / dataset_cache.IMAGES, 130)
    else:
        (dataset_cache.folder() / "a" / {"facts": dataset_cache.FACTS, "images": dataset_cache.IMAGES}[damage]).unlink()
    calls = []
    assert np.array_equal(build(calls=calls), np.ones((4, 1, 2, 2), np.uint8))
    assert calls == ["a"]


def change(kind: str) -> None:
    """What a bad disk, a full one, or a copy that was cut off makes of the array of 4 MB."""
    path = dataset_cache.folder() / "a" / dataset_cache.IMAGES
    size = path.stat().st_size
    with path.open("r+b") as stream:
        stream.seek(size // 2)
        match kind:
            case "zeros":
                stream.write(bytes(size // 4))
            case "all zeros after the header":
                stream.seek(128)
                stream.write(bytes(size - 128))
            case "one bit":
                stream.write(b"\x03")
            case "last byte":
                stream.seek(size - 1)
                stream.write(b"\x09")
            case "cut off and filled up":
                stream.truncate(size // 2)
                stream.truncate(size)
            case "longer":
                stream.seek(size)
                stream.write(b"\0")
            case "header":
                stream.seek(stream.read().find(b"uint8") + 20)
                stream.write(b"?")


@pytest.mark.parametrize(
    "kind", ["zeros", "all zeros after the header", "one bit", "last byte", "cut off and filled up", "longer", "header"]
)
def test_an_array_that_was_changed_is_made_again_after_a_word(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    shape, calls = (1000, 1, 64, 64), []
    build(value=2, shape=shape)
    change(kind)
    assert np.array_equal(build(value=2, shape=shape, calls=calls), np.full(shape, 2, np.uint8))
    assert calls == ["a"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("toy: the cached array ")
    assert "was changed after it was written" in line
    assert line.endswith("it is rebuilt")
    build(value=2, shape=shape, calls=calls)
    assert (calls, capsys.readouterr().err) == (["a"], "")


def test_an_entry_without_digests_is_made_again(capsys: pytest.CaptureFixture[str]) -> None:
    build()
    facts = dataset_cache.folder() / "a" / dataset_cache.FACTS
    facts.write_text(
        json.dumps({key: value for key, value in json.loads(facts.read_text()).items() if key != "sha256"})
    )
    calls: list[str] = []
    build(calls=calls)
    assert calls == ["a"]
    assert "no digests" in capsys.readouterr().err


def test_another_process_that_was_faster_wins() -> None:
    def slow(array):
        array[:] = 1
        build("a", value=1)  # in between, the same content from elsewhere

    found = dataset_cache.open_or_build("a", (4, 1, 2, 2), {}, slow)
    assert np.array_equal(found, np.ones((4, 1, 2, 2), np.uint8))
    assert len(list(dataset_cache.folder().iterdir())) == 1


def test_beyond_the_limit_those_go_that_were_used_longest_ago(monkeypatch) -> None:
    monkeypatch.setenv("ZOO_CACHE_LIMIT", "0.000025")  # 25 kB
    for number, key in enumerate("abc"):
        build(key, shape=(10_000, 1, 1, 1))
        os.utime(dataset_cache.folder() / key / dataset_cache.FACTS, (1000 + number, 1000 + number))
    assert {entry.key for entry in dataset_cache.entries()} == {"b", "c"}
    build("d", shape=(90_000, 1, 1, 1))
    assert {entry.key for entry in dataset_cache.entries()} == {"d"}  # alone too large, but in use


@pytest.mark.parametrize("limit", ["lots", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch, limit) -> None:
    monkeypatch.setenv("ZOO_CACHE_LIMIT", limit)
    with pytest.raises(UsageError, match="ZOO_CACHE_LIMIT must be a number"):
        build()


def test_a_disk_without_room_is_known_before_it_is_written_to(monkeypatch) -> None:
    monkeypatch.setattr(
        dataset_cache.shutil, "disk_usage", lambda _path: namedtuple("usage", "total used free")(100, 95, 5)
    )
    with pytest.raises(StorageError, match="ZOO_CACHE") as caught:
        build()
    assert caught.value.exit_code == 7
    assert list(dataset_cache.folder().iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_line(monkeypatch) -> None:
    def refuse(*_args, **_options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(dataset_cache.np.lib.format, "open_memmap", refuse)
    with pytest.raises(StorageError, match="Read-only"):
        build()


def test_a_cache_that_may_only_be_read_serves(monkeypatch) -> None:
    build()

    def refuse(*_args, **_options):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(dataset_cache.os, "utime", refuse)
    assert np.array_equal(build(value=7), np.ones((4, 1, 2, 2), np.uint8))


def test_what_a_killed_process_left_goes_after_a_day() -> None:
    for name, age in ((".old.1", 2 * ABANDONED_SECONDS), (".new.1", 60)):
        left = dataset_cache.folder() / name
        (left / "content").mkdir(parents=True)
        os.utime(left, (time.time() - age, time.time() - age))
    build()
    assert sorted(path.name for path in dataset_cache.folder().iterdir()) == [".new.1", "a"]


def test_a_disk_that_fills_up_is_told_before_it_is_mapped(monkeypatch) -> None:
    def refuse(*_args):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(dataset_cache.os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(StorageError, match="Disk quota exceeded"):
        build()
    assert list(dataset_cache.folder().iterdir()) == []
