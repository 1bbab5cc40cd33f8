"""Replacing a bundle where two folders cannot be exchanged in one step: readers and crashes see the old bundle or the
new one, whole."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest

from zoo.exporting import atomic_publish
from zoo.exporting.atomic_publish import INDEX, publish, temporary_beside

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the publisher is killed as a forked process")
FILES = ("model.onnx", "predict.py", "README.md")


@pytest.fixture(autouse=True)
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system, or a file system, without renameat2."""

    def missing(*_args: object, **_options: object) -> None:
        raise OSError

    monkeypatch.setattr(atomic_publish.ctypes, "CDLL", missing)


def make(folder: Path, version: str, files: tuple[str, ...] = FILES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    contents = {name: f"{name} of {version}".encode() for name in files}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    index = {
        "version": version,
        "files": {name: {"sha256": hashlib.sha256(content).hexdigest()} for name, content in contents.items()},
    }
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    return folder


def put(target: Path, version: str, files: tuple[str, ...] = FILES) -> None:
    with temporary_beside(target) as folder:
        publish(make(folder, version, files), target)


def read(target: Path) -> str:
    """The version of a bundle, all its files being of that version: a file has its name or, for a moment, the hidden
    one with its digest.

    A reader that was overtaken, which sees another bundle.json now, begins again.
    """
    while True:
        index = (target / INDEX).read_bytes()
        wrong = [
            name for name, facts in json.loads(index)["files"].items() if not any(found(target, name, facts["sha256"]))
        ]
        if not wrong:
            return str(json.loads(index)["version"])
        assert (target / INDEX).read_bytes() != index, wrong


def found(target: Path, name: str, digest: str) -> list[bool]:
    answers = []
    for place in (target / name, target / f".{name}.{digest[:16]}", target / name):
        try:
            answers.append(hashlib.sha256(place.read_bytes()).hexdigest() == digest)
        except FileNotFoundError:
            answers.append(False)
    return answers


def test_readers_at_any_moment_read_a_whole_bundle(tmp_path: Path) -> None:
    target, stop, seen, faults = tmp_path / "out", threading.Event(), set(), []
    put(target, "0")

    def keep_reading() -> None:
        try:
            while not stop.is_set():
                seen.add(read(target))
                (
                    target / "model.onnx"
                ).read_bytes()  # a client that knows nothing of bundle.json finds a model at any time
        except BaseException as error:
            faults.append(error)

    readers = [threading.Thread(target=keep_reading) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version in range(1, 61):
        put(target, str(version))
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert len(seen) > 3
    assert read(target) == "60"
    assert sorted(path.name for path in target.iterdir()) == sorted([INDEX, *FILES])


@pytest.mark.parametrize("plant", ["symbolic link", "hard link"])
def test_files_of_a_bundle_that_are_links_are_replaced(tmp_path: Path, plant: str) -> None:
    target, home = tmp_path / "out", tmp_path / "home"
    put(target, "old")
    home.mkdir()
    for path in list(target.iterdir()):
        path.rename(home / path.name)
        (path.symlink_to if plant == "symbolic link" else path.hardlink_to)(home / path.name)
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    put(target, "new")
    assert read(target) == "new"
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


def killed_at(call: int, target: Path) -> bool:
    """Publish in a process that dies before its ``call``-th change of a file's name; whether it died."""
    child = os.fork()
    if child == 0:
        count = 0

        def dying(real: object) -> object:
            def change(*args: object, **options: object) -> object:
                nonlocal count
                count += 1
                if count == call:
                    os._exit(9)
                return real(*args, **options)  # type: ignore[operator]

            return change

        for name in ("rename", "replace", "unlink", "rmdir", "link"):
            setattr(os, name, dying(getattr(os, name)))
        try:
            put(target, "new", (*FILES, "verify.json"))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_killed_at_any_step_the_bundle_is_the_old_one_or_the_new_one_and_the_next_publishing_succeeds(
    tmp_path: Path,
) -> None:
    seen, call = [], 0
    died = True
    while died:
        call += 1
        target = tmp_path / f"{call}" / "out"
        put(target, "old", (*FILES, "model.onnx.data"))
        died = killed_at(call, target)
        seen.append(read(target))
        assert (target / "model.onnx").exists()
        put(target, "next")
        assert read(target) == "next"
        assert sorted(path.name for path in target.iterdir()) == sorted([INDEX, *FILES])
        assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert call > 10
    assert seen == sorted(seen, reverse=True)  # old, … old, new, … new
    assert (seen[0], seen[-1]) == ("old", "new")
