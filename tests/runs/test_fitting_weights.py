"""Weights files are matched to architectures by the names and shapes of their tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from zoo_classics.lenet import LeNet

from zoo.registry.lookup import registry
from zoo.runs.fitting_weights import fits


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    item = registry().architecture("lenet").spec
    model = LeNet(in_channels=item.input[0], num_outputs=item.num_outputs, image_size=item.input[1:])
    return {name: value.contiguous() for name, value in model.state_dict().items()}


def test_names_and_shapes_decide_and_the_head_may_be_another(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    lenet, cnn = (registry().architecture(name) for name in ("lenet", "cnn"))
    file = tmp_path / "w.safetensors"
    save_file({f"module.{name}": value for name, value in tensors.items()}, file)
    assert fits(registry(), lenet, file) and not fits(registry(), cnn, file)
    head = f"{lenet.spec.head}.weight"
    save_file({**tensors, head: torch.zeros(3, tensors[head].shape[1])}, file)
    assert fits(registry(), lenet, file)
    first = next(iter(tensors))
    save_file({**tensors, first: torch.zeros(1)}, file)
    assert not fits(registry(), lenet, file)
