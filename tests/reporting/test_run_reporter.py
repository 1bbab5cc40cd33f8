"""The events of real runs, as a planted tracker hears them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import zoo
from zoo.contract import events
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.reporting.run_reporter import RunReporter, send_exported
from zoo.runs.run_directory import RunDir
from zoo.training.train_state import Progress, TrainState
from zoo.training.trainer import fit

FAST = {
    "train": {"epochs": 2, "batch_size": 256, "log_steps": 3},
    "dataset": {"resize": 16, "val_fraction": 0.2},
    "device": "cpu",
}
Install = Callable[..., Path]
Heard = Callable[[], list[dict[str, Any]]]
LISTENER = """
import json
from zoo.api import hookimpl

def write(event):
    with open({place!r}, "a") as stream:
        stream.write(json.dumps({{"hook": event.hook, **event.as_dict()}}) + "\\n")

"""
HOOKS = [
    "zoo_run_started",
    "zoo_step_logged",
    "zoo_epoch_ended",
    "zoo_evaluated",
    "zoo_checkpoint_written",
    "zoo_run_ended",
    "zoo_exported",
]


@pytest.fixture(autouse=True)
def fresh_registry() -> Iterator[None]:
    registry.cache_clear()
    yield
    registry.cache_clear()


@pytest.fixture
def heard(tmp_path: Path, install: Install) -> Heard:
    """Installs a tracker; what it has heard so far."""
    place = tmp_path / "heard.jsonl"
    hooks = "".join(f"@hookimpl\ndef {hook}(event): write(event)\n" for hook in HOOKS)
    install("zoo-tracker", "tracker", LISTENER.format(place=str(place)) + hooks)
    registry.cache_clear()
    return lambda: [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []


def test_a_run_sends_its_events_in_order_and_they_are_what_its_files_hold(tmp_path: Path, heard: Heard) -> None:
    result = zoo.run("cnn_digits", overrides=FAST, out=tmp_path / "run", console=Console(quiet=True))
    run, found = RunDir(tmp_path / "run"), heard()
    of = {hook: [event for event in found if event["hook"] == hook] for hook in HOOKS}
    epochs = ["zoo_epoch_ended", "zoo_checkpoint_written"] * 2
    order = ["zoo_run_started", *epochs, "zoo_evaluated", "zoo_run_ended"]
    assert [event["hook"] for event in found if event["hook"] != "zoo_step_logged"] == order
    assert {event["run"] for event in found} == {str(run.path)}
    assert {event["record"]["id"] for event in found} == {result.record.id}

    (started,), (evaluated,), (ended,) = of["zoo_run_started"], of["zoo_evaluated"], of["zoo_run_ended"]
    assert started["config"]["train"]["epochs"] == 2 and started["resumed"] is False
    assert started["record"]["plugins"]["tracker"] == "zoo-tracker 1.0"
    assert (evaluated["split"], evaluated["samples"]) == ("test", result.record.samples["test"])
    assert evaluated["metrics"] == ended["metrics"] == result.metrics
    assert ended["status"] == ended["record"]["status"] == "finished" and ended["record"]["ended"] is not None

    steps = [(each["step"], each["epoch"], each["loss"], each["lr"]) for each in of["zoo_step_logged"]]
    assert steps == [(line["step"], line["epoch"], line["loss"], line["lr"]) for line in run.steps()]
    assert [step[0] for step in steps][:3] == [1, 3, 6]
    rows = [event["metrics"] for event in of["zoo_epoch_ended"]]
    assert rows == run.epochs() and "val_accuracy" in rows[0]
    written = of["zoo_checkpoint_written"]
    assert [(each["epoch"], each["step"]) for each in written] == [(1, rows[0]["step"]), (2, rows[1]["step"])]
    last = Path(written[-1]["path"])
    assert last.is_dir() and written[0]["best"] and (run.root.chosen == last.name) == written[-1]["best"]


def test_a_resumed_and_a_failed_run_say_so(tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    def train_and_fail(state: TrainState) -> None:
        fit(state)
        raise OSError("no space left")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
        patch.setattr("zoo.workflows.run_stages.fit", train_and_fail)
        zoo.run("cnn_digits", overrides=FAST, out=tmp_path / "run", console=Console(quiet=True))
    assert [(event["status"], event["metrics"]) for event in heard() if event["hook"] == "zoo_run_ended"] == [
        ("failed", {})
    ]
    zoo.run(resume=tmp_path / "run", console=Console(quiet=True))
    assert [event["resumed"] for event in heard() if event["hook"] == "zoo_run_started"] == [False, True]


def test_a_solved_run_has_one_checkpoint(tmp_path: Path, heard: Heard) -> None:
    for name in ("dark", "bright"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for side in (16, 17):
            Image.linear_gradient("L").resize((16, side)).save(tmp_path / "images" / name / f"{side}.png")
    overrides = {"dataset": {"name": f"folder:{tmp_path / 'images'}"}, "device": "cpu"}
    zoo.run("svd_image", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    kinds = [event["hook"] for event in heard()]
    assert kinds == ["zoo_run_started", "zoo_checkpoint_written", "zoo_evaluated", "zoo_run_ended"]


@pytest.fixture
def without_trackers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No plugin listens: that of the trackers is the only installed one that does."""
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "trackers")
    registry.cache_clear()
    yield
    registry.cache_clear()


@pytest.mark.usefixtures("without_trackers")
def test_without_a_listener_no_event_is_built(made_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def built(*_: object, **__: object) -> None:
        raise AssertionError("an event was built")

    for kind in (events.RunStarted, events.StepLogged, events.CheckpointWritten, events.RunEnded, events.Exported):
        monkeypatch.setattr(kind, "__init__", built)
    run = made_run("one")
    record = run.record
    monkeypatch.setattr(type(record), "model_dump", built)
    reporter = RunReporter(Console(quiet=True), run, record)
    reporter.started({})
    reporter.loss(Progress(), 0.5, 10.0, 0.1)
    reporter.checkpoint(Progress(), "step-1")
    assert send_exported(registry(), Path("bundle"), {}, run) == []


def test_an_export_is_sent_with_the_record_of_its_run(made_run: Any, heard: Heard) -> None:
    run = made_run("one")
    assert send_exported(registry(), Path("bundle"), {"opset": 18}, run) == []
    assert send_exported(registry(), Path("other"), {}, None) == []
    run.record_file.write_text("{}", encoding="utf-8")
    assert send_exported(registry(), Path("third"), {}, run) == []
    first, other, third = heard()
    assert (first["run"], first["record"]["id"], first["bundle"]) == (str(run.path), "toy/one", "bundle")
    assert first["verification"] == {"opset": 18}
    assert (other["run"], other["record"], third["record"]) == (None, {}, {})
