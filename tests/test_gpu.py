"""On CUDA: training reaches what it reaches on the CPU, everything is on the device, and a deterministic run resumes
exactly."""

from __future__ import annotations

import itertools
import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

import zoo
from zoo.config.augmentation_options import canonical
from zoo.data.augmentation import Augmenter
from zoo.data.data_loader import open_data
from zoo.errors import DivergedError, Interrupted, SetupError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs import checkpoints
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir, create
from zoo.training.preparation import prepare
from zoo.training.train_state import TrainState
from zoo.training.trainer import account, remaining_batches, take_step

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_training_on_cuda_reaches_the_accuracy_of_the_cpu(tmp_path, precision) -> None:
    found = {}
    for device in ("cpu", "cuda"):
        overrides = {"device": device, "train": {"precision": precision}}
        result = zoo.run("cnn_digits", overrides=overrides, out=tmp_path / device, console=Console(quiet=True))
        found[device] = result.metrics["accuracy"]
        assert result.record.device["device"].startswith(device)
    assert found["cuda"] >= max(0.95, found["cpu"] - 0.02)


def test_predictions_on_cuda_are_those_of_the_cpu(tmp_path) -> None:
    run = zoo.run("cnn_digits", device="cpu", epochs=1, out=tmp_path / "run", console=Console(quiet=True)).path
    on = {device: zoo.predict(run, [run / "samples"], device=device) for device in ("cpu", "cuda")}
    assert on["cuda"].engine == f"{on['cpu'].engine} on cuda:{torch.cuda.current_device()}"
    np.testing.assert_allclose(on["cuda"].values, on["cpu"].values, atol=1e-3)  # TF32
    on["cuda"].explain(tmp_path / "maps.png")
    assert (tmp_path / "maps.png").is_file()


def test_images_labels_and_batches_are_on_the_device() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    plan = resolve(registry(), "cnn_digits")
    data = open_data(registry(), plan.config.dataset, device, prepare=plan.prepare_images)
    for batch in data.part("train").batches(100):
        assert {batch.inputs.device, batch.targets.device, batch.indices.device} == {device}


def test_a_deterministic_run_repeats_to_the_bit(tmp_path) -> None:
    states = []
    for name in ("first", "second"):
        overrides = {"device": "cuda", "deterministic": True, "train": {"epochs": 3}}
        result = zoo.run("cnn_digits", overrides=overrides, out=tmp_path / name, console=Console(quiet=True))
        states.append(zoo.load(result.path).module.state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


EVERYTHING = {
    "epochs": 3,
    "batch_size": 32,
    "micro_batches": 2,
    "warmup_epochs": 0.5,
    "weight_decay": 0.01,
    "weight_decay_scope": "weights",
    "ema_decay": 0.99,
    "mixup": 0.4,
    "cutmix": 1.0,
    "clip_norm": 1.0,
    "checkpoint_steps": 20,
    "augment": "flip, crop: 2, rotate: 10, color_jitter, pca_noise, erase, trivial_augment",
}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_with_every_feature_a_stopped_run_resumes_to_the_bit(tmp_path, precision) -> None:
    overrides = {"device": "cuda", "deterministic": True, "train": {**EVERYTHING, "precision": precision}}

    class Interrupt(Console):
        def step(self, progress, batch_samples):
            if progress.step == 50:
                os.kill(os.getpid(), signal.SIGINT)

    whole = zoo.run("cnn_digits", overrides=overrides, out=tmp_path / "whole", console=Console(quiet=True))
    with pytest.raises(Interrupted):
        zoo.run("cnn_digits", overrides=overrides, out=tmp_path / "stopped", console=Interrupt(quiet=True))
    resumed = zoo.run(resume=tmp_path / "stopped", console=Console(quiet=True))
    assert resumed.metrics == whole.metrics
    assert all(
        torch.equal(value, zoo.load(resumed.path).module.state_dict()[key])
        for key, value in zoo.load(whole.path).module.state_dict().items()
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_does_not_wait_for_the_device(tmp_path, precision) -> None:
    """What tests/training/test_device_steps.py holds without a GPU, here by CUDA's own check."""
    plan = resolve(
        registry(), "cnn_digits", overrides={"device": "cuda", "train": {**EVERYTHING, "precision": precision}}
    )
    ready = prepare(plan)
    assert ready.learning is not None
    run = create(plan.config, tmp_path / "run")
    console = Console(quiet=True)
    state = TrainState(plan.config, ready.learning, ready.model, ready.data, ready.engine, run, console)
    with state.logs, state.reading():
        state.begin_epoch(0)
        batches = remaining_batches(state, 0)
        try:
            for batch in batches:
                account(state, batch, take_step(state, batch))
                torch.cuda.set_sync_debug_mode("error")
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert state.progress.step == state.steps_per_epoch


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_of_a_cuda_graph_are_plain_steps(tmp_path, monkeypatch, precision) -> None:
    """What tests/training/test_step_graph.py holds without a GPU, here with CUDA's own graphs."""
    train = {**EVERYTHING, "precision": precision, "mixup": None, "cutmix": None, "cuda_graph": True}
    overrides = {"device": "cuda", "deterministic": True, "train": train}
    recorded = zoo.run("cnn_digits", overrides=overrides, out=tmp_path / "recorded", console=Console(quiet=True))
    log = (recorded.path / "log.txt").read_text(encoding="utf-8")
    assert "training steps are launched as a CUDA graph" in log and "with the same result" in log
    monkeypatch.setattr("zoo.training.step_graph.WARM_UP", 10**9)
    plain = zoo.run("cnn_digits", overrides=overrides, out=tmp_path / "plain", console=Console(quiet=True))
    assert recorded.metrics == plain.metrics
    weights = zoo.load(plain.path).module.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in zoo.load(recorded.path).module.state_dict().items())


@pytest.mark.parametrize("name", [item.spec.name for item in registry().items("augmentation")])
def test_augmentation_on_the_device_is_the_cpus(name) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (64, 3, 24, 24), dtype=np.uint8))
    found = []
    for device in ("cpu", "cuda"):
        here = images.to(device)
        found.append(
            Augmenter(canonical([name]), 0, here, (0.5, 0.5, 0.5)).of_epoch(1)(here, np.arange(64)).float().cpu()
        )
    differing = ((found[0] - found[1]).abs() > 0.5).float().mean()  # a floor may fall on either side of a whole number
    assert differing < 0.01


def test_case_84_on_cuda_too_a_loss_that_is_not_finite_stops_the_run(tmp_path) -> None:
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf)"):
        zoo.run(
            "cnn_digits",
            overrides={"device": "cuda", "train": {"lr": 1e30, "precision": "fp32"}},
            out=tmp_path / "run",
            console=Console(quiet=True),
        )


def test_case_86_on_cuda_too_out_of_memory_says_what_was_asked(tmp_path) -> None:
    overrides = {"device": "cuda", "dataset": {"resize": 256}, "train": {"batch_size": 1024}}
    torch.cuda.empty_cache()
    # as a small card has it
    torch.cuda.set_per_process_memory_fraction(1e9 / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(SetupError, match=r"out of memory.*batch of 1024"):
            zoo.run("cnn_digits", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_compiled_networks_train_on_cuda(tmp_path) -> None:
    overrides = {"device": "cuda", "train": {"compile": True, "epochs": 5}}
    assert (
        zoo.run("cnn_digits", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True)).metrics[
            "accuracy"
        ]
        > 0.9
    )


def test_a_batch_size_is_chosen_that_trains(tmp_path) -> None:
    """On a card with 1 GB, which is not all that the driver says is free: four times as much does not fit."""
    settings = {"device": "cuda", "dataset.resize": 256, "train.eval_batch_size": 16}
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e9 / torch.cuda.get_device_properties(0).total_memory)
    try:
        result = zoo.run("cnn_digits", set=settings, batch_size="auto", epochs=1, out=tmp_path / "run", quiet=True)
        assert result.path is not None
        size = RunDir(result.path).config.train.samples_per_step
        assert 2 <= size < 1024
        with pytest.raises(SetupError, match=f"out of memory.*batch of {4 * size}"):
            zoo.run("cnn_digits", set=settings, batch_size=4 * size, epochs=1, out=tmp_path / "more", quiet=True)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_recomputed_activations_change_no_bit(tmp_path, precision) -> None:
    def network() -> nn.Module:
        sides = [(3, 32), (32, 32), (32, 32), (32, 32)]
        blocks = [[nn.Conv2d(*side, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Dropout(0.3)] for side in sides]
        return nn.Sequential(*itertools.chain(*blocks), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3))

    images = np.random.default_rng(0).integers(0, 256, (96, 3, 32, 32), dtype=np.uint8)
    data = {"train": (images, np.arange(96) % 3), "test": (images[:9], np.arange(9) % 3)}
    states = []
    for recomputed in (False, True):
        settings = {"device": "cuda", "deterministic": True, "train.gradient_checkpointing": recomputed}
        settings |= {"train.precision": precision, "train.epochs": 3, "train.batch_size": 32}
        result = zoo.run(model=network, data=data, set=settings, out=tmp_path / str(recomputed), quiet=True)
        states.append(checkpoints.weights(checkpoints.chosen(RunDir(result.path))))
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
