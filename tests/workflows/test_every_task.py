"""Each task with each network: one step of training and a verified export, or a refusal with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from zoo.api import ArchitectureSpec
from zoo.errors import UsageError
from zoo.registry.lookup import registry

TORCHVISION = (
    "convnext_tiny",
    "deeplabv3_mobilenet_v3_large",
    "densenet121",
    "efficientnet_b0",
    "fcn_resnet50",
    "googlenet",
    "inception_v3",
    "lraspp_mobilenet_v3_large",
    "mnasnet0_5",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "vgg11_bn",
    "vit_b_32",
)
"""At least one network of each kind that torchvision has."""
NETWORKS = [
    *sorted(item.canonical for item in registry().items("architecture")),
    *(f"torchvision/{name}" for name in TORCHVISION),
]
QUICK = ("classics/cnn", "classics/unet")
TASKS = {
    "classification": "classes",
    "retrieval": "classes",
    "multi_label": "multi_label",
    "regression": "values",
    "segmentation": "mask",
}
"""The tasks that train a network of random weights, with the kind of their targets."""
LARGEST = 64
"""The side in pixels of the images of networks that take any size."""


def shape_of(spec: ArchitectureSpec) -> tuple[int, int, int]:
    channels, *sides = spec.input
    height, width = (side if spec.sizing == "fixed" else min(side, LARGEST) for side in sides)
    return channels, height, width


def targets(kind: str, count: int, height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Four of each kind in which each class is there."""
    if kind == "classes":
        return np.arange(count) % 3
    if kind == "multi_label":
        return np.arange(3 * count).reshape(count, 3) % 2
    if kind == "values":
        return random.normal(size=(count, 2))
    return np.arange(count * height * width).reshape(count, height, width) % 3


@pytest.mark.filterwarnings("default")  # torch's own, as a user has them
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in NETWORKS]
)
def test_a_step_and_a_verified_export(name: str, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec, random, kind = registry().architecture(name).spec, np.random.default_rng(0), TASKS[task]
    channels, height, width = shape_of(spec)

    def split() -> tuple[Any, Any]:
        images = random.integers(0, 256, (6, height, width, channels), dtype=np.uint8)
        return images, targets(kind, 6, height, width, random)

    def run() -> Any:
        settings = {"task.name": task, "train.batch_size": 6, "train.lr": 1e-5, "device": "cpu"}
        return zoo.run(model=name, data=(split(), split()), target=kind, epochs=1, out="run", set=settings, quiet=True)

    if ("map" in {output.kind for output in spec.outputs}) != (kind == "mask"):
        with pytest.raises(UsageError, match="output"):
            run()
        assert not Path("run").exists()
        return
    assert all(np.isfinite(value) for value in run().metrics.values())
    bundle = zoo.export("run", out="bundle")
    assert (bundle.path / "bundle.json").is_file()


def test_every_task_for_labelled_images_is_there() -> None:
    found = {item.spec.name for item in registry().items("task", namespace="tasks") if item.spec.target is not None}
    assert found == set(TASKS)
