"""`zoo run --profile`: the phases of a step, found again where they were planted."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import create
from zoo.training import profiling
from zoo.training.preparation import prepare
from zoo.training.train_state import TrainState
from zoo.training.trainer import fit

DELAY = 0.02


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "WARMUP", 2)
    monkeypatch.setattr(profiling, "STEPS", 5)


def make_state(where: Path, **train: Any) -> TrainState:
    given = {"epochs": 1, "batch_size": 100, **train}
    overrides = {"device": "cpu", "dataset": {"resize": 16}, "train": given}
    plan = resolve(registry(), "cnn_digits", overrides=overrides)
    ready = prepare(plan)
    assert ready.learning is not None
    run = create(plan.config, where)
    return TrainState(plan.config, ready.learning, ready.model, ready.data, ready.engine, run, Console(quiet=True))


def slowed(function: Any) -> Any:
    def call(*arguments: Any, **keywords: Any) -> Any:
        time.sleep(DELAY)
        return function(*arguments, **keywords)

    return call


@pytest.mark.parametrize("phase", ["data", "forward", "backward", "optimizer", "other"])
def test_a_slow_phase_is_found(tmp_path: Path, phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = make_state(tmp_path / "run", profile=True)
    if phase == "data":
        given = state.part.batches_of
        state.part.batches_of = lambda *rest: map(slowed(lambda batch: batch), given(*rest))  # type: ignore[method-assign,assignment]
    owner, name = {
        "data": (state, "begin_epoch"),
        "forward": (state.task, "loss"),
        "backward": (state.stepper, "backward"),
        "optimizer": (state.stepper, "update"),
        "other": (state.logs, "samples"),
    }[phase]
    if phase != "data":
        monkeypatch.setattr(owner, name, slowed(getattr(owner, name)))
    fit(state)
    facts = json.loads((state.run.path / "profile" / "profile.json").read_text(encoding="utf-8"))
    found = {each["name"]: each["host_ms"] for each in facts["phases"]}
    assert facts["steps"] == 5 and list(found) == ["data", "forward", "backward", "optimizer", "other", "step"]
    assert found[phase] >= 1000 * DELAY
    assert sum(found.values()) - found["step"] == pytest.approx(found["step"], rel=1e-6)
    assert 1 <= len(facts["operators"]) <= profiling.OPERATORS
    trace = json.loads(gzip.decompress((state.run.path / "profile" / "trace.json.gz").read_bytes()))
    assert any(each.get("name") == "zoo: backward" for each in trace["traceEvents"])


def test_torchs_own_log_of_the_profiler_is_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fit(make_state(tmp_path / "run", profile=True))
    assert capfd.readouterr().err == ""


def test_a_profile_changes_no_weight(tmp_path: Path) -> None:
    plain, profiled = make_state(tmp_path / "plain"), make_state(tmp_path / "profiled", profile=True)
    for state in (plain, profiled):
        torch.manual_seed(1)
        fit(state)
    assert all(
        torch.equal(value, plain.model.state_dict()[name]) for name, value in profiled.model.state_dict().items()
    )
    assert not (plain.run.path / "profile").exists()


@pytest.mark.parametrize(("batch_size", "steps"), [(1437, None), (500, 1), (250, 4)])
def test_a_short_training_is_profiled_as_far_as_it_goes(
    tmp_path: Path, batch_size: int, steps: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    state = make_state(tmp_path / "run", profile=True, batch_size=batch_size)
    said: list[str] = []
    state.watch.print = said.append  # type: ignore[method-assign]
    state.profiler._log = said.append
    fit(state)
    if steps is None:
        assert "no profile: the training had 1 step, and 2 precede the profile" in said
        assert not (state.run.path / "profile").exists()
    else:
        assert json.loads((state.run.path / "profile" / "profile.json").read_text())["steps"] == steps
        assert any(line.startswith(f"time per training step, mean of {steps} step") for line in said)


def test_times_on_a_device_are_told_apart() -> None:
    def event(key: str, host: float, device: float) -> Any:
        times = {"cpu_time_total": host, "device_time_total": device}
        return SimpleNamespace(key=key, **times, self_cpu_time_total=host, self_device_time_total=device)

    events = [
        event("zoo: forward", 2000, 0),  # the range on the host, and the same range on the device
        event("zoo: forward", 0, 6000),
        event("zoo: backward", 4000, 8000),
        event("ProfilerStep*", 10_000, 16_000),
        event("aten::conv2d", 1000, 9000),
        event("aten::add", 1500, 10),
    ]
    phases, operators = profiling.summary(events, 2, on_device=True)
    assert {row.name: row[1:] for row in phases} == {
        "data": (0, 0),
        "forward": (1, 3),
        "backward": (2, 4),
        "optimizer": (0, 0),
        "other": (2, 1),
        "step": (5, 8),
    }
    assert [row.name for row in operators] == ["aten::conv2d", "aten::add"]
    assert profiling.table(phases, 2)[2] == "  forward       1.000 ms   20.0%       3.000 ms on the device"
