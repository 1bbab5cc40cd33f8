"""Gradients by layer against torch.autograd on the same network, and the two stories they tell."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from zoo.analysis.gradients import gradients, summary
from zoo.config.run_config import Section
from zoo.data.data_loader import open_data
from zoo.errors import UsageError
from zoo.models.building import build_model
from zoo.registry.lookup import registry
from zoo.runs.resolve_config import dataset_section, resolve
from zoo.support import counter_random


def looked(name: str, **architecture: Any) -> Any:
    given = {"device": "cpu", "dataset": {"name": "digits"}, "train": {"batch_size": 16}, "architecture": architecture}
    return gradients(resolve(registry(), name, overrides=given), name)


def test_norms_are_those_of_autograd() -> None:
    found = looked("fnn")
    counter_random.seed_everything(0)
    model = build_model(registry(), Section(name="fnn", hidden=8), in_channels=1, num_outputs=10, image_size=(8, 8))
    data = open_data(registry(), dataset_section(registry(), "digits"), torch.device("cpu"), parts=("train",))
    part = data.part("train")
    batch = next(iter(part.batches_of(counter_random.order(0, 0, len(part))[:16], 16)))
    weights = [model.fc1.weight, model.fc2.weight, model.fc3.weight]
    expected = torch.autograd.grad(F.cross_entropy(model(batch.inputs), batch.targets), weights)
    assert found.layers == ("fc1", "fc2", "fc3")
    assert found.norms == pytest.approx([float(gradient.norm()) for gradient in expected], rel=1e-5)
    assert found.ratio == found.norms[0] / found.norms[-1]
    assert summary([found]) == [
        {"label": "fnn", "ratio": found.ratio, "layers": dict(zip(found.layers, found.norms, strict=True))}
    ]


def test_without_shortcuts_the_gradient_of_a_deep_network_grows_towards_its_first_layer() -> None:
    residual, plain = looked("resnet34"), looked("resnet34", residual=False)
    assert plain.ratio > 3 * residual.ratio
    assert len(residual.norms) == len(plain.norms) + 3  # the projections


def test_auxiliary_classifiers_are_heard() -> None:
    assert any(name.startswith("aux") for name in looked("googlenet").layers)


def test_what_a_run_would_refuse_is_refused() -> None:
    with pytest.raises(UsageError, match="photos has none"):
        gradients(resolve(registry(), "fnn", overrides={"dataset": {"name": "photos"}}), "x")


def test_of_a_task_that_is_solved_without_training_there_are_none() -> None:
    with pytest.raises(UsageError, match="task svd/svd_image is solved without training, so it has no gradients"):
        gradients(resolve(registry(), "svd_image"), "x")
