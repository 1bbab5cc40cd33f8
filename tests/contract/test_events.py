"""Events are frozen all the way down, hold copies, and need neither torch nor numpy."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zoo import hookspecs
from zoo.contract import events
from zoo.contract.events import Evaluated, Event, RunStarted, StepLogged, read_only

KINDS = [kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, Event) and kind.hook]
RECORD = {"id": "toy/one", "notes": ["a note"], "results": {"test": {"accuracy": 0.5}}}


def test_each_kind_has_the_hook_that_takes_it() -> None:
    assert len(KINDS) == 7
    for kind in KINDS:
        (parameter,) = inspect.signature(getattr(hookspecs, kind.hook)).parameters.values()
        assert (parameter.name, parameter.annotation) == ("event", kind.__name__)


def test_nothing_of_an_event_can_be_changed() -> None:
    event = RunStarted(record=RECORD, run=Path("one"), config={"train": {"augment": [{"flip": {}}]}})
    attempts: list[Any] = [
        lambda: setattr(event, "run", Path("two")),
        lambda: event.config.update(lr=1),  # type: ignore[attr-defined]
        lambda: event.config["train"].update(lr=1),
        lambda: event.record["results"].pop("test"),
        lambda: event.record["notes"].append("mine"),
        lambda: event.config["train"]["augment"][0].update(flip=None),
    ]
    for attempt in attempts:
        with pytest.raises((AttributeError, TypeError, dataclasses.FrozenInstanceError)):
            attempt()


def test_an_event_holds_copies() -> None:
    metrics = {"accuracy": 0.5}
    event = Evaluated(record=RECORD, run=Path("one"), split="test", samples=2, metrics=metrics)
    metrics["accuracy"] = 1.0
    assert event.metrics == {"accuracy": 0.5}


def test_an_event_as_json() -> None:
    values = {"epoch": 1, "step": 20, "loss": 0.5, "lr": 0.1, "samples_per_second": 100.0}
    event = StepLogged(record=RECORD, run=Path("runs/one"), **values)
    assert json.loads(json.dumps(event.as_dict())) == {"record": RECORD, "run": "runs/one", **values}
    copy = event.as_dict()
    copy["record"]["results"].clear()
    assert event.record["results"] == {"test": {"accuracy": 0.5}}


def test_what_is_read_only_already_is_not_copied_again() -> None:
    record = read_only(RECORD)
    assert StepLogged(record=record, run=Path(), epoch=1, step=1, loss=0, lr=0, samples_per_second=0).record is record


def test_events_import_neither_torch_nor_numpy() -> None:
    code = "import sys, zoo.contract.events, zoo.hookspecs; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
