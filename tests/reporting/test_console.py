"""The console of a run: short lines for people, complete ones in log.txt."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from zoo.reporting import console as module
from zoo.reporting.console import Console
from zoo.training.train_state import Progress

ROW = {
    "epoch": 3, "train_loss": 0.1155, "val_accuracy": 0.979, "val_macro_f1": 0.975, "val_calibration_error": 0.0511,
    "val_loss": 0.1859, "samples_per_second": 3799.0,
}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def begun(log: Path, stream: io.StringIO | None = None) -> tuple[Console, io.StringIO]:
    stream = stream or io.StringIO()
    console = Console(stream=stream)
    console.log = log
    console.begin(Progress(), 41, 3, "accuracy")
    return console, stream


def test_an_epoch_shows_the_losses_and_the_monitored_metric_and_the_log_has_all(tmp_path: Path) -> None:
    console, stream = begun(tmp_path / "log.txt")
    console.epoch(Progress(epoch=3), ROW)
    assert stream.getvalue() == "epoch 3/3  train loss 0.1155  val loss 0.1859, accuracy 97.90%  3,799 samples/s\n"
    logged = (tmp_path / "log.txt").read_text(encoding="utf-8").split(" ", 1)[1]
    assert logged == (
        "epoch 3/3  train loss 0.1155  val loss 0.1859, accuracy 97.90%, macro F1 0.9750, calibration error 0.0511  "
        "3,799 samples/s\n"
    )


def test_an_epoch_without_a_validation_split_shows_the_training_loss(tmp_path: Path) -> None:
    console, stream = begun(tmp_path / "log.txt")
    console.epoch(Progress(epoch=1), {"epoch": 1, "train_loss": 0.5, "samples_per_second": 10.0})
    assert stream.getvalue() == "epoch 1/3  train loss 0.5000  10 samples/s\n"


def test_steps_are_logged_and_printed_only_after_a_long_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)
    console, stream = begun(tmp_path / "log.txt")
    console.print("device cpu")
    for step in (1, 2, 3):
        console.loss(Progress(batch=step, step=step), 1 / step, 100.0, 0.1)
        console.step(Progress(batch=step, step=step), 8)
        now += 20
    assert stream.getvalue().splitlines() == ["device cpu", "epoch 1/3  step 3/41  batch loss 0.3333  100 samples/s"]
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").count("  step ") == 3


def test_a_terminal_gets_long_lines_wrapped_and_addresses_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    console = Console(stream=(stream := Terminal()))
    console.log = tmp_path / "log.txt"
    console.print("run a/b finished in 9.6 s; report: runs/a-long-name/2026-11-28-031616-7a15/report.html")
    assert stream.getvalue().splitlines() == [
        "run a/b finished in 9.6 s; report:",
        "  runs/a-long-name/2026-11-28-031616-7a15/report.html",
    ]
    assert len((tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()) == 1
