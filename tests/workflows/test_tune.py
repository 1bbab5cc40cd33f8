"""`zoo tune` for real: seven short runs, which is what the three tests that need them share."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.cli.app import run_cli
from zoo.errors import Interrupted, SetupError, UsageError
from zoo.reporting.console import Console
from zoo.runs.run_directory import RunDir
from zoo.workflows.tune import TuneResult
from zoo.workflows.tune_study import Proposal, read_study

pytest.importorskip("optuna", reason="optuna is not installed (pip install 'torch-zoo[tune]')")

TINY: dict[str, Any] = {"train": {"epochs": 2, "batch_size": 128}, "dataset": {"resize": 16, "val_fraction": 0.2}}
SPACE = {"train.lr": "log(1e-4, 1e-1)"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tune")


@pytest.fixture(scope="module")
def whole(folder: Path) -> TuneResult:
    return zoo.tune("cnn_digits", SPACE, trials=2, overrides=TINY, out=folder / "whole", console=Console(quiet=True))


def test_trials_are_runs_and_only_the_best_sees_the_test_split(whole: TuneResult) -> None:
    record = whole.record
    assert json.loads((whole.path / "tune.json").read_text()) == record.model_dump(mode="json")
    for trial in record.trials:
        run = RunDir(whole.path / trial.run)
        assert run.record.status == "finished" and list(run.record.results) == ["val"]
        assert run.config.train.lr == trial.params["train.lr"]
        rows = {int(row["epoch"]): row["val_accuracy"] for row in run.epochs()}
        assert trial.values == rows and trial.value == max(rows.values())
    assert whole.best.value == max(trial.value or 0 for trial in record.trials)
    assert record.test == zoo.evaluate(whole.path / whole.best.run, "test").metrics
    assert [plot.name for plot in whole.plots] == ["history.png", "slices.png", "parallel.png"]
    assert all(plot.read_bytes().startswith(b"\x89PNG") for plot in whole.plots)


def test_its_command_repeats_the_best_trial(
    whole: TuneResult, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert whole.record.command is not None
    words = shlex.split(whole.record.command)
    assert words[:3] == ["zoo", "run", "cnn_digits"]
    assert run_cli([*words[1:], "--out", str(folder / "again"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "finished"
    again = RunDir(folder / "again")
    assert again.record.results["test"] == whole.record.test
    assert {int(row["epoch"]): row["val_accuracy"] for row in again.epochs()} == whole.best.values


def test_a_tuning_that_was_stopped_goes_on_as_if_it_had_not_been(
    whole: TuneResult, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Console] = []

    class Stopping(Console):
        """Stops the second trial after its first epoch, as Ctrl-C does."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(self)

        def epoch(self, progress: Any, row: dict[str, float]) -> None:
            super().epoch(progress, row)
            if len(made) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("zoo.workflows.tune.Console", Stopping)
        with pytest.raises(Interrupted, match=r"fix: continue with `zoo tune --resume"):
            zoo.tune("cnn_digits", SPACE, trials=2, overrides=TINY, out=folder / "part", console=Console(quiet=True))
    assert [trial.state for trial in read_study(folder / "part").trials] == ["finished", "running"]
    assert [row["epoch"] for row in RunDir(folder / "part" / "trial-002").epochs()] == [1]
    resumed = zoo.tune(resume=folder / "part", console=Console(quiet=True))
    assert resumed.record == whole.record


def test_a_pruned_trial_and_one_that_diverges_are_told_apart(
    whole: TuneResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tuning is continued by two trials: the pruner stops the third, the loss of the fourth is not finite."""
    monkeypatch.setattr(Proposal, "prunes", lambda self, values: True)
    third = zoo.tune(resume=whole.path, trials=3, console=Console(quiet=True)).record.trials[2]
    assert third.state == "pruned" and list(third.values) == [1]
    assert "stopping early: pruned (median)" in (whole.path / "trial-003" / "log.txt").read_text()
    monkeypatch.setattr("zoo.training.trainer.take_step", _not_finite)
    assert run_cli(["tune", "--resume", str(whole.path), "--trials", "4"]) == 0
    told = capsys.readouterr().out
    assert "2 finished, 1 pruned, 1 failed" in told and "failed after 0 epochs: the loss is nan" in told
    assert f"repeat the best trial: {whole.record.command}" in told
    assert run_cli(["tune", "--resume", str(whole.path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [each["state"] for each in facts["trials"]].count("failed") == 1
    assert facts["best"]["number"] == whole.best.number and facts["test"] == whole.record.test


def test_a_trial_without_enough_memory_fails_and_the_tuning_goes_on(
    whole: TuneResult, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's error in the first batch of the second of two trials; the one after it is trained."""
    shutil.copytree(whole.path, folder / "memory")
    done = len(read_study(folder / "memory").trials)
    monkeypatch.setattr("zoo.training.trainer.take_step", _too_large)
    with pytest.MonkeyPatch.context() as patch:
        freed: list[bool] = []
        patch.setattr("zoo.training.devices.free_memory", lambda: freed.append(True))
        record = zoo.tune(resume=folder / "memory", trials=done + 1, console=Console(quiet=True)).record
    assert freed == [True]
    failed = record.trials[done]
    assert failed.state == "failed" and failed.value is None
    assert failed.error is not None and failed.error.startswith("out of memory (9.00 GiB at once) with ")
    monkeypatch.undo()
    record = zoo.tune(resume=folder / "memory", trials=done + 2, console=Console(quiet=True)).record
    assert [each.state for each in record.trials[done:]] == ["failed", "finished"]


def _too_large(state: Any, batch: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB. GPU 0 has …")


def _not_finite(state: Any, batch: Any) -> Any:
    from zoo.training.train_state import check_finite

    check_finite(state, float("nan"))


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        (
            "cnn_digits",
            {"space": SPACE},
            r'digits has none; fix: .*: set={"dataset.val_fraction": 0.2}',
        ),
        ("svd_image", {"space": {"task.noise": "uniform(1, 2)"}}, "there is nothing to tune"),
        ("cnn_digits", {"space": {}, "overrides": TINY}, "nothing is searched"),
        ("cnn_digits", {"space": SPACE, "trials": 0}, "trials= must be at least 1"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_written(
    name: str, options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=told):
        zoo.tune(name, out=tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_without_optuna_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SetupError, match=r"fix: pip install 'torch-zoo\[tune\]'"):
        zoo.tune("cnn_digits", SPACE)
