"""The seconds of a run that is done in pieces."""

from __future__ import annotations

from typing import Any

import pytest

import zoo
from zoo.errors import ZooError
from zoo.reporting.console import Console
from zoo.runs.run_directory import RunDir
from zoo.support import stopwatch
from zoo.support.stopwatch import Clock

FAST = {"train": {"epochs": 1, "batch_size": 100, "checkpoint_steps": 5}, "dataset": {"resize": 16}, "device": "cpu"}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A time that stands still until a test moves it."""
    time = [1000.0]
    monkeypatch.setattr(stopwatch.time, "monotonic", lambda: time[0])
    return time


def test_a_clock_counts_from_what_was_before(now: list[float]) -> None:
    counted = Clock(5.0)
    now[0] += 2
    assert counted.seconds == 7.0


def test_a_clock_goes_on_from_the_later_of_record_and_checkpoint(now: list[float]) -> None:
    counted = Clock(5.0)
    now[0] += 1
    counted.go_on_from(9.0)
    assert counted.seconds == 10.0
    counted.go_on_from(2.0)
    assert counted.seconds == 10.0


def test_a_run_killed_in_an_epoch_counts_the_seconds_up_to_its_checkpoint(tmp_path: Any, now: list[float]) -> None:
    """The time before the checkpoint is kept though no epoch ended and the record was never written again, as after
    kill -9."""

    class Stop(Console):
        def step(self, progress: Any, batch_samples: int) -> None:
            now[0] += 10.0
            if progress.step == 8:
                raise ZooError("killed")

    with pytest.raises(ZooError, match="killed"):
        zoo.run("cnn_digits", overrides=FAST, out=tmp_path / "run", console=Stop(quiet=True))
    run = RunDir(tmp_path / "run")
    record = run.record
    record.status, record.seconds = "running", None
    run.write_record(record)
    # five steps were kept
    assert zoo.run(resume=run.path, console=Console(quiet=True)).record.seconds == pytest.approx(50.0)
