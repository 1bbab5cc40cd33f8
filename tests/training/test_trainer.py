"""The trainer against independent loops, its features, and what it does when it diverges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import zoo
from zoo.api import Loss
from zoo.errors import DivergedError, UsageError
from zoo.models.building import build_model
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir, create
from zoo.support import counter_random
from zoo.training.preparation import prepare
from zoo.training.resume import save
from zoo.training.step_losses import StepLosses
from zoo.training.train_state import TrainState
from zoo.training.trainer import fit

FAST = {
    "train": {"epochs": 2, "batch_size": 100, "log_steps": 5, "schedule": "constant"},
    "dataset": {"resize": 16},
    "device": "cpu",
}


def make_state(tmp_path: Path, **train) -> TrainState:
    plan = resolve(registry(), "cnn_digits", overrides={**FAST, "train": {**FAST["train"], **train}})
    ready = prepare(plan)
    assert ready.learning is not None
    run = create(plan.config, tmp_path / "run")
    return TrainState(plan.config, ready.learning, ready.model, ready.data, ready.engine, run, Console(quiet=True))


@pytest.mark.parametrize(
    ("name", "options"),
    [("sgd", {"momentum": 0.5}), ("adam", {}), ("adamw", {"weight_decay": 0.1})],
)
def test_the_trainer_agrees_with_a_plain_pytorch_loop(tmp_path, name, options) -> None:
    """Independent implementation: torch.optim and cross_entropy over numpy-indexed, numpy-normalised batches."""
    state = make_state(tmp_path, optimizer=name, lr=0.01, optimizer_options={"fused": False}, **options)
    counter_random.seed_everything(0)
    plain = build_model(registry(), state.config.architecture, in_channels=1, num_outputs=10, image_size=(16, 16))
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](
        plain.parameters(), lr=0.01, **options
    )
    images = state.part.images_of(range(len(state.part))).astype(np.float64).transpose(0, 3, 1, 2)
    mean, std = state.data.preprocessing.mean[0], state.data.preprocessing.std[0]
    inputs, labels = (
        torch.from_numpy(((images / 255 - mean) / std).astype(np.float32)),
        torch.from_numpy(state.part.targets),
    )
    plain.train()
    for epoch in range(2):
        for rows in torch.from_numpy(counter_random.order(0, epoch, len(labels))).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(plain(inputs[rows]), labels[rows]).backward()
            optimizer.step()
    fit(state)
    for ours, theirs in zip(state.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-5)


def test_the_epoch_row_is_the_mean_loss_per_sample(tmp_path) -> None:
    # the network does not move, so that one forward tells the mean
    state = make_state(tmp_path, epochs=1, lr=1e-12, optimizer="sgd")
    with torch.no_grad():
        batches = list(state.part.batches(len(state.part)))
        expected = nn.functional.cross_entropy(state.model(batches[0].inputs), batches[0].targets).item()
    fit(state)
    header, row = state.run.metrics_file.read_text().splitlines()
    assert float(dict(zip(header.split(","), row.split(","), strict=True))["train_loss"]) == pytest.approx(
        expected, rel=1e-5
    )


def test_an_epoch_takes_every_sample_once_in_the_order_of_its_seed(tmp_path) -> None:
    state = make_state(tmp_path, log_samples=True)
    fit(state)
    lines = [json.loads(line) for line in state.run.samples_file.read_text().splitlines()]
    seen = [index for line in lines for index in line["samples"]]
    count = len(state.part)
    assert seen[:count] == counter_random.order(0, 0, count).tolist()
    assert seen[count:] == counter_random.order(0, 1, count).tolist()
    assert sorted(seen[:count]) == list(range(count))


def test_drop_last_leaves_out_the_smaller_batch(tmp_path) -> None:
    state = make_state(tmp_path, drop_last=True, epochs=1, log_samples=True)
    fit(state)
    sizes = {len(json.loads(line)["samples"]) for line in state.run.samples_file.read_text().splitlines()}
    assert sizes == {100}
    assert state.progress.step == 14


def test_case_4_a_batch_larger_than_the_data_with_drop_last_is_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"5000 exceeds the 1437 training samples"):
        make_state(tmp_path, batch_size=5000, drop_last=True)


def test_gradients_are_clipped_to_the_norm(tmp_path) -> None:
    state = make_state(tmp_path, clip_norm=1e-9, lr=1.0, optimizer="sgd", epochs=1)
    before = [parameter.clone() for parameter in state.model.parameters()]
    fit(state)
    moved = sum((now - then).norm().item() for now, then in zip(state.model.parameters(), before, strict=True))
    assert 0 < moved < 1e-6


@pytest.mark.parametrize("schedule", ["cosine", "step", "poly"])
def test_schedules_change_the_learning_rate(tmp_path, schedule) -> None:
    options = {"decay_epochs": 1} if schedule == "step" else {}
    state = make_state(tmp_path, schedule=schedule, schedule_options=options, epochs=3)
    fit(state)
    rates = [float(line.split(",")[2]) for line in state.run.metrics_file.read_text().splitlines()[1:]]
    assert rates[-1] < rates[0]


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"optimizer": "adamm"}, "did you mean adam"),
        ({"optimizer": "adam", "momentum": 0.9}, "momentum"),
        ({"schedule": "cosin"}, "cosine"),
        ({"schedule_options": {"warmup_epochs": 1}}, "constant schedule"),
    ],
)
def test_unknown_optimizers_schedules_and_options_are_named(tmp_path, train, words) -> None:
    with pytest.raises(UsageError, match=words):
        make_state(tmp_path, **train)


def test_an_optimizer_of_timm_can_be_named(tmp_path) -> None:
    state = make_state(tmp_path, optimizer="lamb", epochs=1)
    assert type(state.stepper.optimizer).__name__ == "Lamb"
    fit(state)
    assert state.progress.step == 15


@pytest.mark.parametrize("every", [1, 4, 100])
def test_a_loss_that_is_not_finite_is_named_whenever_it_is_read(tmp_path, every) -> None:
    """On a device, the losses are read some steps later; the step is the first, and no checkpoint is written after."""
    state = make_state(tmp_path, epochs=2)
    state.losses = StepLosses(torch.device("cpu"), every)
    loss, calls = state.task.loss, iter(range(1000))

    def poisoned(outputs, batch):
        found = loss(outputs, batch)
        return found if next(calls) < 17 else Loss(found.values * float("inf"))

    state.task.loss = poisoned
    good = r"step-\d*15"  # of the first epoch; there are 15 steps in each
    with pytest.raises(DivergedError, match=rf"the loss is (inf|nan) at step 18, epoch 2; the last good .* is {good}"):
        fit(state)
    weights = load_file(state.run.checkpoints / state.run.root.last.name / "model.safetensors")
    assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize("at", ["a checkpoint", "a stop"])
def test_a_checkpoint_is_never_written_after_a_loss_that_is_not_finite(tmp_path, at, monkeypatch) -> None:
    state = make_state(tmp_path, epochs=1, checkpoint_steps=2 if at == "a checkpoint" else None)
    state.losses = StepLosses(torch.device("cpu"), 100)
    state.task.loss = lambda outputs, batch: Loss(outputs["output"].sum(1) * float("nan"))
    if at == "a stop":
        monkeypatch.setattr("zoo.training.trainer.stop_if_asked", lambda state, stop: save(state))
    with pytest.raises(DivergedError, match="at step 1, epoch 1; no checkpoint was written yet"):
        fit(state)


def test_the_select_part_picks_the_best_checkpoint_and_the_report_part_does_not(tmp_path, monkeypatch) -> None:
    result = zoo.run(
        "cnn_digits",
        overrides={**FAST, "dataset": {"resize": 16, "val_fraction": 0.2}},
        out=tmp_path / "run",
        console=Console(quiet=True),
    )
    run = RunDir(result.path)
    rows = run.metrics_file.read_text().splitlines()
    header = rows[0].split(",")
    values = [float(row.split(",")[header.index("val_accuracy")]) for row in rows[1:]]
    state = json.loads((run.checkpoints / result.record.checkpoint / "state.json").read_text())
    assert state["progress"]["epoch"] == 1 + int(np.argmax(values))
    assert result.record.samples == {"train": 1150, "val": 287, "test": 360}
