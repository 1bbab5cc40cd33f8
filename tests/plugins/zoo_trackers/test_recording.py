"""What ZOO_TRACK names is recorded; a tracker that fails disturbs neither the run nor the others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from zoo_trackers import recording
from zoo_trackers.tracker import TrackedRun, flat

import zoo
from zoo.errors import DivergedError, SetupError, UnknownNameError
from zoo.reporting.console import Console

TINY: dict[str, Any] = {"train": {"epochs": 1, "batch_size": 256}, "dataset": {"resize": 16}}


class Memory:
    """A tracker that keeps what it is given."""

    where = "in memory"
    opened: ClassVar[list[Memory]] = []

    def __init__(self, run: TrackedRun) -> None:
        self.run, self.values, self.references, self.status = run, dict[int, dict[str, float]](), dict[str, str](), ""
        self.opened.append(self)

    def last_step(self, metric: str) -> int:
        return -1

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.values.setdefault(step, {}).update(values)

    def refer(self, name: str, target: str) -> None:
        self.references[name] = target

    def close(self, status: str) -> None:
        self.status = status


class Broken(Memory):
    def log(self, values: Mapping[str, float], step: int) -> None:
        raise OSError("the disk is full")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Memory]:
    monkeypatch.setattr(recording, "TRACKERS", {"memory": f"{__name__}:Memory", "broken": f"{__name__}:Broken"})
    monkeypatch.setattr(recording, "load", {"memory": Memory, "broken": Broken}.__getitem__)
    monkeypatch.setattr(Memory, "opened", [])
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path))
    return Memory.opened


def lines(path: Path | None) -> list[str]:
    assert path is not None
    return [line for line in (path / "log.txt").read_text().splitlines() if "warning" in line]


def test_nothing_is_recorded_unless_trackers_are_named(memory: list[Memory], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_TRACK", raising=False)
    zoo.run("cnn_digits", overrides=TINY, console=Console(quiet=True))
    assert Memory.opened == []


def test_a_tracker_that_fails_disturbs_neither_the_run_nor_the_others(
    memory: list[Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_TRACK", "broken, memory,memory")
    done = zoo.run("cnn_digits", overrides=TINY, console=Console(quiet=True))
    broken, whole = Memory.opened
    assert (broken.values, broken.status, whole.status) == ({}, "finished", "finished")
    told = lines(done.path)
    assert "broken: OSError: the disk is full" in told[0] and "zoo_step_logged" in told[0]
    assert whole.run.name == done.record.id and whole.run.settings["train.batch_size"] == 256
    last = max(whole.values)
    assert whole.values[last]["test/accuracy"] == done.metrics["accuracy"]
    assert {name.partition("/")[0] for values in whole.values.values() for name in values} == {"step", "epoch", "test"}
    assert set(whole.references) == {"report", "checkpoint"}


def test_a_run_that_fails_is_closed_as_failed(memory: list[Memory], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_TRACK", "memory")
    with pytest.raises(DivergedError):
        zoo.run(
            "cnn_digits",
            overrides={**TINY, "train": {"epochs": 9, "optimizer": "sgd", "lr": 1e30}},
            console=Console(quiet=True),
        )
    (found,) = Memory.opened
    assert found.status == "failed"


def test_a_name_that_is_no_tracker_is_reported_when_the_run_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path))
    monkeypatch.setenv("ZOO_TRACK", "tensorbord")
    done = zoo.run("cnn_digits", overrides=TINY, console=Console(quiet=True))
    (told,) = lines(done.path)
    assert "no tracker is called 'tensorbord'; fix: set ZOO_TRACK to one or more of mlflow, tensorboard" in told


def test_a_client_that_is_not_installed_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "zoo_trackers.to_wandb", raising=False)
    with pytest.raises(SetupError, match=r"wandb needs the package wandb.*fix: pip install 'torch-zoo\[wandb\]'"):
        recording.load("wandb")
    with pytest.raises(UnknownNameError, match="no tracker is called 'mflow'"):
        recording.load("mflow")


def test_settings_become_flat_and_empty_ones_are_left_out() -> None:
    nested = {"train": {"lr": 0.1, "augment": [{"flip": {}}], "metrics": []}, "weights": None, "compile": False}
    assert dict(flat(nested)) == {"train.lr": 0.1, "train.augment": '[{"flip": {}}]', "compile": False}


def test_no_client_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, zoo_trackers, zoo_trackers.recording;"
        "print(sorted({'torch', 'numpy', 'mlflow', 'wandb', 'trackio', 'tensorboard'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
