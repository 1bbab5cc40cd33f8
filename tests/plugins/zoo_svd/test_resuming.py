"""A compression that measures, stopped and resumed: by the choices it made, to the bit, and only of the network that it
began with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from zoo_svd import compress_network

import zoo
from zoo.errors import CheckpointError, ZooError
from zoo.reporting.console import Console
from zoo.runs.load_model import load
from zoo.runs.run_directory import RunDir

SETTINGS = {
    "train": {"epochs": 2, "batch_size": 100, "checkpoint_steps": 3, "lr": 0.01},
    "task": {"of": "ms", "finetune": True, "calibration": 32, "curve": [], "budget": 0.7},
    "device": "cpu",
}


class Uneven:
    """In place of a stopwatch: milliseconds that are others with each clock, so that another one would choose
    otherwise."""

    made: Iterator[int] = itertools.count()

    def __init__(self) -> None:
        self._number = next(self.made)

    def __call__(self, module: torch.nn.Module, shape: Sequence[int], batches: Sequence[int]) -> list[float]:
        weights = sum(each.numel() for each in module.parameters())
        return [float(weights ** (1 if self._number % 2 == 0 else 0.3)) for _ in batches]


pytestmark = pytest.mark.usefixtures("unreported")


class Stop(Console):
    def step(self, progress: Any, batch_samples: int) -> None:
        if progress.step == 4:
            raise ZooError("stopped")


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.setattr(Uneven, "made", itertools.count())
    monkeypatch.setattr(compress_network, "Stopwatch", Uneven)
    with pytest.raises(ZooError, match="stopped"):
        zoo.run("digits_svd", overrides=SETTINGS, out=tmp_path / "parts", console=Stop(quiet=True))
    return RunDir(tmp_path / "parts")


def test_a_run_by_milliseconds_with_fine_tuning_resumes_to_the_bit(
    stopped: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adaptations = stopped.record.adaptations
    assert adaptations[0]["layers"]
    zoo.run(resume=stopped.path, console=Console(quiet=True))  # its clock is the second, by which another budget is met
    assert stopped.record.adaptations == adaptations
    monkeypatch.setattr(Uneven, "made", itertools.count())
    zoo.run("digits_svd", overrides=SETTINGS, out=tmp_path / "whole", console=Console(quiet=True))
    expected, found = (load(path).state_dict() for path in (tmp_path / "whole", stopped.path))
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_the_second_clock_alone_would_choose_otherwise(stopped: RunDir, tmp_path: Path) -> None:
    """Or the test above would hold nothing."""
    other = zoo.run(
        "digits_svd",
        overrides={**SETTINGS, "task": {**SETTINGS["task"], "finetune": False}},
        out=tmp_path / "other",
        console=Console(quiet=True),
    )  # type: ignore[dict-item]
    assert other.record.adaptations[0]["layers"] != stopped.record.adaptations[0]["layers"]


def test_another_original_is_refused(stopped: RunDir) -> None:
    record = stopped.record
    record.adaptations[0]["original"] = "0" * 64
    stopped.bind(record)
    with pytest.raises(
        CheckpointError, match="the weights of the network that this run compressed have changed since the run started"
    ):
        zoo.run(resume=stopped.path, console=Console(quiet=True))
