"""Features that adaptations ask for: computed once for all splits, and used for evaluation where they are the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.data import dataset_cache
from zoo.data.data_loader import Data
from zoo.errors import UsageError
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import registry
from zoo.testing.fixtures import ENGINE, NAMES, ToyTask, dummy_data, dummy_target
from zoo.training.frozen_features import FrozenFeatures
from zoo.training.train_state import Learning


class Backbone(nn.Sequential):
    """Counts the images that it is run on."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Flatten(), nn.Linear(64, 5), nn.Dropout(), nn.ReLU())
        self.images = 0

    def forward(self, x: Tensor) -> Tensor:
        self.images += len(x)
        return super().forward(x)


class Network(nn.Module):
    """A head on a backbone; with ``looks``, it also reads the images itself."""

    def __init__(self, backbone: nn.Module, *, looks: bool = False) -> None:
        super().__init__()
        self.backbone, self.head, self._looks = backbone, nn.Linear(5, len(NAMES)), looks

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.head(self.backbone(x))
        return output + x.flatten(1).mean(1, keepdim=True) if self._looks else output


def features(data: Data, said: list[str] | None = None) -> FrozenFeatures:
    return FrozenFeatures(data, ENGINE, registry(), (said if said is not None else []).append)


def learning(data: Data, frozen: FrozenFeatures | None) -> Learning:
    return Learning(ToyTask(data.target), OutputReader(), frozen=frozen)


@pytest.fixture
def data() -> Data:
    return dummy_data(dummy_target("classes"))


def test_the_features_are_the_outputs_in_eval_mode_for_every_split(data: Data) -> None:
    backbone = Backbone().train()
    found = features(data)
    for part in data.parts.values():
        batch, images = next(found(backbone, part).batches(100)), next(part.batches(100))
        assert torch.equal(batch.targets, images.targets)  # type: ignore[arg-type]
        due = nn.Sequential.forward(backbone.eval(), images.inputs)
        torch.testing.assert_close(batch.inputs, due.detach())
        backbone.train()
    assert backbone.training and all(each.training for each in backbone)


def test_a_later_run_finds_them_on_the_disk(data: Data) -> None:
    said: list[str] = []
    features(data, said)(Backbone(), data.parts["train"])
    assert len(said) == 1 and said[0].endswith(
        "the output of the frozen Backbone (5 values per image) is cached for train, val and test, computed by torch"
    )
    assert len(dataset_cache.entries()) == 3
    again = Backbone()
    features(data, said)(again, data.parts["test"])
    assert said[1].endswith("found in the cache")
    assert again.images < len(data.parts["train"])  # the shape of the features is found with a few images


def test_other_weights_or_settings_have_other_features(data: Data) -> None:
    found, backbone = features(data), Backbone()
    before = next(found(backbone, data.parts["val"]).batches(100)).inputs
    with torch.no_grad():
        backbone[1].weight.mul_(2)
    assert not torch.equal(before, next(found(backbone, data.parts["val"]).batches(100)).inputs)
    backbone.append(nn.Threshold(0.1, 0.0))
    changed = next(found(backbone, data.parts["val"]).batches(100)).inputs
    backbone[-1] = nn.Threshold(0.4, 0.0)
    assert not torch.equal(changed, next(found(backbone, data.parts["val"]).batches(100)).inputs)


def test_a_network_on_them_is_evaluated_without_the_images(data: Data) -> None:
    frozen, backbone = features(data), Backbone()
    frozen(backbone, data.parts["train"])
    model = Network(backbone).train()
    backbone.images = 0
    found = learning(data, frozen).evaluate(model, data.parts["test"], 5)
    assert backbone.images <= 4  # the comparison on two images
    assert backbone.training and model.head.training
    due = learning(data, None).evaluate(model, data.parts["test"], 5)
    assert found.metrics == pytest.approx(due.metrics, rel=1e-5)
    assert found.outputs == pytest.approx(due.outputs, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("change", ["looks", "weights", "own"])
def test_a_network_that_computes_something_else_is_run_on_the_images(data: Data, change: str) -> None:
    frozen, backbone = features(data), Backbone()
    frozen(backbone, data.parts["train"])
    model: nn.Module = backbone if change == "own" else Network(backbone, looks=change == "looks")
    if change == "weights":
        with torch.no_grad():
            backbone[1].bias.add_(0.1)
    assert frozen.shortcut(model, data.parts["test"]) is None
    found, due = (learning(data, each).evaluate(model, data.parts["test"], 5) for each in (frozen, None))
    assert found.metrics == due.metrics


def test_only_splits_of_the_data_have_features(data: Data) -> None:
    part: Any = object()
    with pytest.raises(UsageError, match="splits of the run's data only"):
        features(data)(Backbone(), part)
