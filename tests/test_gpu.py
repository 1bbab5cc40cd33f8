"""On CUDA: training reaches what it reaches on the CPU, everything is on the device, and a deterministic run resumes exactly."""

from __future__ import annotations

import pytest
import torch

import zoo
from zoo.console import Console
from zoo.data import open_data
from zoo.registry import registry
from zoo.resolve import resolve

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_training_on_cuda_reaches_the_accuracy_of_the_cpu(tmp_path, precision):
    found = {}
    for device in ("cpu", "cuda"):
        overrides = {"device": device, "train": {"precision": precision}}
        result = zoo.run("cnn_digits", overrides=overrides, out=tmp_path / device, console=Console(quiet=True))
        found[device] = result.metrics["accuracy"]
        assert result.record.device["device"].startswith(device)
    assert found["cuda"] >= max(0.95, found["cpu"] - 0.02)


def test_pictures_labels_and_batches_are_on_the_device():
    device = torch.device("cuda", torch.cuda.current_device())
    config = resolve(registry(), "cnn_digits")
    data = open_data(registry(), config.dataset, device, architecture=registry().architecture("cnn").spec)
    for batch in data.part("train").batches(100):
        assert {batch.inputs.device, batch.labels.device, batch.indices.device} == {device}


def test_a_deterministic_run_repeats_to_the_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    states = []
    for name in ("first", "second"):
        overrides = {"device": "cuda", "deterministic": True, "train": {"epochs": 3}}
        result = zoo.run("cnn_digits", overrides=overrides, out=tmp_path / name, console=Console(quiet=True))
        states.append(zoo.load(result.path).state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
