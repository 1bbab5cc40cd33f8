"""A temporary folder is its owner's for as long as the owner lives, whatever process ids say; then anyone may remove
it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from zoo.support import temporary_folders
from zoo.support.temporary_folders import remove_abandoned, temporary_folder

OWNER = """
import sys, time
from pathlib import Path
from zoo.support.temporary_folders import temporary_folder
with temporary_folder(Path(sys.argv[1]), "out") as folder:
    (folder / "half").touch()
    print("made", flush=True)
    time.sleep(60)
"""


def start_owner(parent: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(parent)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "made\n"
    return process


def test_it_is_hidden_and_gone_at_the_end(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "exports", "out") as folder:
        (outer,) = (tmp_path / "exports").iterdir()
        assert outer.name.startswith(".out.")
        assert folder.is_dir()
        assert folder.parent == outer
    assert list((tmp_path / "exports").iterdir()) == []


def test_what_was_made_may_be_renamed_to_its_place(tmp_path: Path) -> None:
    with temporary_folder(tmp_path, "out") as folder:
        (folder / "file").touch()
        folder.rename(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "out"]


def test_that_of_a_living_process_stays_and_that_of_a_killed_one_goes(tmp_path: Path) -> None:
    with start_owner(tmp_path) as process:
        try:
            remove_abandoned(tmp_path, "out")
            (left,) = tmp_path.iterdir()
            assert (left / temporary_folders.CONTENT / "half").exists()
        finally:
            process.kill()
    remove_abandoned(tmp_path, "another")
    assert left.exists()
    remove_abandoned(tmp_path, "out")
    assert list(tmp_path.iterdir()) == []


def test_an_owner_in_another_pid_namespace_counts_as_living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, the id of a living process is none here."""

    def nobody(*_args: object) -> None:
        raise ProcessLookupError

    with start_owner(tmp_path) as process:
        try:
            with monkeypatch.context() as patch:
                patch.setattr(os, "kill", nobody)
                remove_abandoned(tmp_path)
            assert len(list(tmp_path.iterdir())) == 1
        finally:
            process.terminate()


def test_a_file_system_without_locks_keeps_what_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def missing(*_args: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of filelock, which takes the file itself for the lock
        with temporary_folder(tmp_path, "out") as folder:
            remove_abandoned(tmp_path)
            assert folder.is_dir()
        assert list(tmp_path.iterdir()) == []


def test_without_a_lock_file_age_decides(tmp_path: Path) -> None:
    for name, age in ((".out.old.tmp", 2 * temporary_folders.ABANDONED_SECONDS), (".out.new.tmp", 60)):
        (tmp_path / name / "content").mkdir(parents=True)
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".out.new.tmp"]


def test_a_link_with_such_a_name_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "letters").mkdir(parents=True)
    (mine / "lock").touch()
    (tmp_path / ".out.aabbccdd.tmp").symlink_to(mine)
    remove_abandoned(tmp_path)
    assert (mine / "letters").is_dir()


def test_one_that_is_removed_before_it_is_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acquire, removed = temporary_folders.FileLock.acquire, []

    def slow(self: temporary_folders.FileLock, *args: object, **options: object) -> object:
        if not removed:
            removed.append(Path(self.lock_file).parent)
            removed[0].rmdir()
        return acquire(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(temporary_folders.FileLock, "acquire", slow)
    with temporary_folder(tmp_path, "out") as folder:
        assert folder.is_dir()
        remove_abandoned(tmp_path)
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []
