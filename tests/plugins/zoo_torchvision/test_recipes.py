"""Transfer from torchvision's weights: the reference's settings, what is trained, and the figure on the real
photographs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import zoo
from zoo.api import AdaptContext, EvaluationResult, PartView, Raw
from zoo.data.preprocessing import Preprocessing
from zoo.models.building import count_parameters
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.build_components import build_adaptations, build_network
from zoo.runs.resolve_config import resolve
from zoo.testing.adaptations import features_of

RECIPES = [
    item.canonical for item in registry().items("recipe", namespace="torchvision") if item.spec.task == "tasks/transfer"
]


def test_vgg16_has_the_settings_of_the_reference() -> None:
    config = resolve(registry(), "vgg16_transfer").config
    train = config.train
    assert (train.optimizer, train.lr, train.batch_size, train.epochs, train.augment) == ("adam", 1e-3, 64, 1, [])
    assert (config.dataset.name, config.task.name, config.task.options["train"]) == (
        "datasets/catdog",
        "tasks/transfer",
        "head",
    )


def _no_evaluation(_model: torch.nn.Module, _part: PartView) -> EvaluationResult:
    raise AssertionError("freezing layers evaluates nothing")


@pytest.mark.parametrize(
    ("name", "trained", "parameters"),
    [
        ("vgg16_transfer", 8_194, 134_268_738),  # the reference's
        ("squeezenet_transfer", 2 * 512 + 2, 723_522),
        ("resnet18_transfer", 2 * 512 + 2, 11_177_538),
    ],
)
def test_the_last_layer_alone_learns(name, trained, parameters) -> None:
    plan = resolve(registry(), name)
    learned = plan.weights.learned
    _, height, width = learned.input
    how = Preprocessing(channels=3, height=height, width=width, mean=learned.mean, std=learned.std)
    with torch.device("meta"):
        model = build_network(registry(), plan, how, 2)
    (transfer,) = build_adaptations(plan)
    model, _ = transfer.adapt(
        model, AdaptContext(None, plan.architecture.spec.head, _no_evaluation, print, features_of, Raw())
    )
    assert count_parameters(model) == (parameters, trained)


def test_every_recipe_of_transfer_is_looked_at() -> None:
    assert RECIPES == ["torchvision/resnet18_transfer", "torchvision/squeezenet_transfer", "torchvision/vgg16_transfer"]


@pytest.mark.realdata
@pytest.mark.slow
def test_squeezenet_tells_the_real_cats_from_the_dogs(tmp_path) -> None:
    root = Path(os.environ["ZOO_DATA"])
    weights = root / "weights" / "squeezenet1_1-imagenet.safetensors"
    if not weights.is_file() or not (root / "cat_dog.zip").is_file():
        pytest.skip("needs SqueezeNet's ImageNet weights and cat_dog.zip under ZOO_DATA")
    result = zoo.run(
        "squeezenet_transfer",
        overrides={"weights": str(weights), "device": "cpu"},
        out=tmp_path / "run",
        console=Console(quiet=True),
    )
    assert result.metrics["accuracy"] >= 0.95
    zoo.export(str(result.path), out=tmp_path / "bundle")
    assert (tmp_path / "bundle" / "model.onnx").is_file()
