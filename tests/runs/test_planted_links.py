"""A run from somebody else, with links and pipes planted in it: going on with it changes nothing outside of it, and
never hangs.

Which files are written is found by watching a run (Python's audit events, and what lies there afterwards), so that a
new one is covered unnamed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.errors import Interrupted, StorageError, ZooError
from zoo.reporting.console import Console
from zoo.runs.run_directory import RunDir

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need a privilege, and pipes have no names, there")

FAST = {
    "train": {
        "epochs": 2,
        "batch_size": 100,
        "log_steps": 5,
        "schedule": "constant",
        "log_samples": True,
        "patience": 5,
    },
    "dataset": {"resize": 16, "val_fraction": 0.1},
    "device": "cpu",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
watched: list[set[Path]] = []


CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.link", "os.symlink", "os.truncate"}


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hooks cannot be taken off again: this one only looks while somebody watches."""
    if watched and (event in CHANGES or (event == "open" and arguments[2] & WRITING)):
        watched[-1].update(
            Path(os.fsdecode(each)) for each in arguments[:2] if isinstance(each, (str, bytes, os.PathLike))
        )


sys.addaudithook(note)


@contextmanager
def watching() -> Iterator[set[Path]]:
    watched.append(set())
    try:
        yield watched[-1]
    finally:
        watched.pop()


class Interrupt(Console):
    def step(self, progress: Any, batch_samples: int) -> None:
        if progress.step == 15:
            os.kill(os.getpid(), signal.SIGTERM)


@dataclass
class Stopped:
    """A run that was stopped, and what going on with it writes, from its folder on: files and folders."""

    path: Path
    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def copy(self, to: Path) -> Path:
        shutil.copytree(self.path, to, symlinks=True)
        return to


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    folder = tmp_path_factory.mktemp("planted")
    with pytest.raises(Interrupted), pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        zoo.run("cnn_digits", overrides=FAST, out=folder / "stopped", console=Interrupt(quiet=True))
    found = Stopped(folder / "stopped")
    whole = found.copy(folder / "whole")
    with watching() as touched:
        zoo.run(resume=whole, console=Console(quiet=True))
    written = {path for path in touched if path.is_relative_to(whole)} | set(whole.rglob("*"))
    found.files = sorted(path.relative_to(whole) for path in written if path.is_file())
    found.folders = sorted(path.relative_to(whole) for path in written if path.is_dir() and path != whole)
    return found


def symbolic_link(place: Path, victim: Path) -> None:
    place.symlink_to(victim)


def hard_link(place: Path, victim: Path) -> None:
    place.hardlink_to(victim)


def pipe(place: Path, _victim: Path) -> None:
    os.mkfifo(place)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_what_is_watched_is_what_a_run_writes(stopped: Stopped) -> None:
    names = {path.as_posix() for path in stopped.files}
    assert {
        "run.json",
        "config.yaml",
        "metrics.csv",
        "steps.jsonl",
        "samples.jsonl",
        "log.txt",
        "report.html",
        "plots/curves.png",
        ".lock",
    } <= names
    assert {"plots", "samples", "checkpoints"} <= {path.as_posix() for path in stopped.folders}


@pytest.mark.parametrize("plant", [symbolic_link, hard_link, pipe])
def test_a_planted_file_is_replaced_or_refused_and_what_it_leads_to_is_left_alone(
    stopped: Stopped,
    tmp_path: Path,
    no_longer_than: Callable[[int], AbstractContextManager[None]],
    plant: Callable[[Path, Path], None],
) -> None:
    run, home = stopped.copy(tmp_path / "run"), tmp_path / "home"
    planted = {}
    for place in stopped.files:
        victim = home / place
        victim.parent.mkdir(parents=True, exist_ok=True)
        victim.write_bytes((run / place).read_bytes() if (run / place).exists() else b"dear diary")
        (run / place).parent.mkdir(parents=True, exist_ok=True)
        (run / place).unlink(missing_ok=True)
        plant(run / place, victim)
        planted[run / place] = place
    before, refused = contents(home), []
    for _ in range(len(planted)):
        try:
            with no_longer_than(240):
                zoo.run(resume=run, console=Console(quiet=True))
            break
        except ZooError as error:
            assert error.exit_code in (2, 4, 7), error
            assert error.fix, error
            mended = [path for path in planted if path == Path(str(error.where))] or [
                path for path in planted if path.name in str(error)
            ]
            assert mended, error
            for path in mended:
                refused.append(planted.pop(path).as_posix())
                path.unlink(missing_ok=True)
                if (stopped.path / refused[-1]).exists():
                    shutil.copy(stopped.path / refused[-1], path)
    assert contents(home) == before
    assert RunDir(run).record.status == "finished"
    assert {"metrics.csv", "steps.jsonl", "samples.jsonl", "log.txt"} <= set(refused)


def test_a_folder_that_is_a_link_is_refused_before_anything_is_written(
    stopped: Stopped, tmp_path: Path, no_longer_than
) -> None:
    for number, place in enumerate(stopped.folders):
        run, home = stopped.copy(tmp_path / f"run{number}"), tmp_path / f"home{number}"
        shutil.copytree(run / place, home) if (run / place).exists() else home.mkdir()
        shutil.rmtree(run / place, ignore_errors=True)
        (run / place).parent.mkdir(parents=True, exist_ok=True)
        (run / place).symlink_to(home)
        before = contents(home)
        with (
            pytest.raises(StorageError, match="a link stands where a folder of this run belongs") as caught,
            no_longer_than(240),
        ):
            zoo.run(resume=run, console=Console(quiet=True))
        assert Path(str(caught.value.where)) == run / place
        assert contents(home) == before
