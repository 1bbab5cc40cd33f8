"""The last checkpoint, the best one and its metric agree, whatever was cut off or damaged; and a resumed training ends
with the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs import checkpoints
from zoo.runs.plan import RunPlan
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir, create
from zoo.training.preparation import prepare
from zoo.training.resume import resume
from zoo.training.train_state import TrainState
from zoo.training.trainer import fit

ACCURACY = (0.5, 0.6, 0.7, 0.4)
"""That of the validation split after each epoch: the best is the third."""


class Killed(BaseException):
    """Stands for the end of the process."""


class Notes(Console):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def print(self, text: str) -> None:
        self.lines.append(text)


def planned(**train: object) -> RunPlan:
    dataset = {"resize": 16, "val_fraction": 0.2, "classes": ["0", "1"]}
    whole = {"epochs": len(ACCURACY), "batch_size": 100, "optimizer": "adam", "schedule": "cosine", **train}
    return resolve(
        registry(), "cnn_digits", overrides={"train": whole, "dataset": dataset, "device": "cpu", "threads": 1}
    )


def make_state(where: Path | RunDir, accuracy: tuple[float, ...] = ACCURACY, **train: object) -> TrainState:
    plan = planned(**train)
    ready = prepare(plan)
    assert ready.learning is not None
    run = where if isinstance(where, RunDir) else create(plan.config, where)
    state = TrainState(plan.config, ready.learning, ready.model, ready.data, ready.engine, run, Notes())
    state.evaluate = lambda _part: SimpleNamespace(metrics={"accuracy": accuracy[state.progress.epoch]})  # type: ignore[method-assign,assignment,return-value]
    return state


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, dict[str, Tensor]]:
    """A training that nothing happened to, and its last weights."""
    state = make_state(tmp_path_factory.mktemp("whole") / "run")
    fit(state)
    return state.run, state.model.state_dict()


def ends_as(whole: tuple[RunDir, dict[str, Tensor]], run: RunDir) -> list[str]:
    """Resumes, and compares the end with that of an undisturbed training; returns what was noted."""
    state = make_state(run)
    resume(state)
    fit(state)
    assert all(torch.equal(value, whole[1][name]) for name, value in state.model.state_dict().items())
    assert agrees(run) == agrees(whole[0]) == (3, 0.7)
    assert (
        json.loads((run.checkpoints / run.root.last.name / "state.json").read_text())["progress"]["best"]
        == run.root.last.best.facts
    )
    return state.watch.lines


def agrees(run: RunDir) -> tuple[int, float]:
    """The epoch and the metric of the best checkpoint, which its own state, the root record and metrics.csv all give
    alike."""
    root = run.root
    state = json.loads((checkpoints.chosen(run) / "state.json").read_text())
    row = run.epochs()[state["progress"]["epoch"] - 1]
    facts = {
        "metric": "val_accuracy",
        "value": row["val_accuracy"],
        "epoch": int(row["epoch"]),
        "step": int(row["step"]),
    }
    assert state["progress"]["best"] == root.last.best.facts == facts
    return facts["epoch"], facts["value"]


def kill_in_save(monkeypatch: pytest.MonkeyPatch, run: RunDir, epoch: int, point: str) -> None:
    """The process ends while the checkpoint of the end of ``epoch`` is saved."""
    original: Callable[[RunDir, object], None] = RunDir.write_root
    renamed = Path.rename

    def due() -> bool:
        return len(run.epochs()) == epoch

    def write_root(self: RunDir, root: object) -> None:
        if due() and point == "before the root record":
            raise Killed
        original(self, root)
        if due() and point == "after the root record":
            raise Killed

    def rename(self: Path, target: Path) -> Path:
        if due() and point == "before the folder":
            raise Killed
        return renamed(self, target)

    monkeypatch.setattr(RunDir, "write_root", write_root)
    monkeypatch.setattr(Path, "rename", rename)


@pytest.mark.parametrize("epoch", [2, 4])
@pytest.mark.parametrize("point", ["before the folder", "before the root record", "after the root record"])
def test_a_death_between_checkpoint_last_and_best_leaves_them_in_agreement(
    tmp_path, whole, monkeypatch, epoch, point
) -> None:
    state = make_state(tmp_path / "run")
    with monkeypatch.context() as patch:
        kill_in_save(patch, state.run, epoch, point)
        with pytest.raises(Killed):
            fit(state)
    done = epoch if point == "after the root record" else epoch - 1
    assert agrees(state.run) == (min(done, 3), ACCURACY[min(done, 3) - 1])
    ends_as(whole, state.run)


def stopped_after(
    folder: Path, monkeypatch: pytest.MonkeyPatch, epochs: int, accuracy: tuple[float, ...] = ACCURACY
) -> RunDir:
    state = make_state(folder, accuracy)
    with monkeypatch.context() as patch:
        kill_in_save(patch, state.run, epochs, "after the root record")
        with pytest.raises(Killed):
            fit(state)
    return state.run


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json", "MANIFEST.json"])
def test_a_damaged_newest_checkpoint_is_named_and_the_training_goes_on_from_the_one_before_and_its_best(
    tmp_path, whole, monkeypatch, file
) -> None:
    run = stopped_after(tmp_path / "run", monkeypatch, 3)
    newest = run.root.last.name
    assert run.root.chosen == newest
    flip_a_bit(run.checkpoints / newest / file)
    state = make_state(run)
    resume(state)
    assert state.progress.best == run.root.last.best.facts and state.progress.best["epoch"] == 2
    assert any(line.startswith(f"checkpoint {newest} is damaged") for line in state.watch.lines)
    ends_as(whole, run)


def test_a_lost_best_checkpoint_is_named_and_the_later_epochs_are_compared(tmp_path, monkeypatch) -> None:
    accuracy = (0.9, 0.1, 0.2, 0.3)
    run = stopped_after(tmp_path / "run", monkeypatch, 3, accuracy)
    flip_a_bit(checkpoints.chosen(run) / "model.safetensors")
    state = make_state(run, accuracy)
    resume(state)
    assert state.progress.best is None
    assert any("the best epoch so far (epoch 1, val_accuracy 0.9) is lost" in line for line in state.watch.lines)
    fit(state)
    assert agrees(run) == (4, 0.3)


def test_a_checkpoint_damaged_while_training_goes_on_is_not_counted_by_pruning(tmp_path) -> None:
    state = make_state(tmp_path / "run", (0.1, 0.2, 0.3, 0.4), keep_checkpoints=2)
    original = state.watch.epoch

    def damage_the_second(progress, row) -> None:
        original(progress, row)
        if progress.epoch == 3:
            flip_a_bit(state.run.checkpoints / state.run.root.last.name / "model.safetensors")
            state.config.train.epochs = 3

    state.watch.epoch = damage_the_second  # type: ignore[method-assign]
    fit(state)
    assert [entry.epoch for entry in state.run.root.checkpoints] == [1, 3]
    assert any("is damaged" in line for line in state.watch.lines)
    assert checkpoints.newest_good(state.run)[2] == []
