"""What a plugin may build, and what becomes of it otherwise (FAULTS 23, 24)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.api import ArchitectureSpec
from zoo.config.run_config import Section
from zoo.errors import PluginError, UsageError
from zoo.models import building
from zoo.models.building import build_model, count_macs
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Registry, options_model, registry


def catalogue_of(monkeypatch, build, head=None) -> Registry:
    spec = ArchitectureSpec(name="odd", summary="built by a test", target="stranger:build", input=(1, 8, 8), head=head)
    monkeypatch.setattr(building, "load_object", lambda reference, item: build)
    return Registry(
        [Plugin("stranger", "zoo-stranger", "1.0", "stranger", specs={"architecture": [spec]})], events=None
    )


def build_odd(monkeypatch, build):
    return building.build_model(
        catalogue_of(monkeypatch, build), Section(name="odd"), in_channels=1, num_outputs=10, image_size=(8, 8)
    )


def raising(_options, **_):
    raise RuntimeError("no such layer")


def test_a_head_that_the_network_lacks_is_blamed_on_its_plugin(monkeypatch) -> None:
    def build(head: str) -> nn.Module:
        catalogue = catalogue_of(monkeypatch, lambda _, **__: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), head)
        return building.build_model(catalogue, Section(name="odd"), in_channels=1, num_outputs=10, image_size=(8, 8))

    with pytest.raises(PluginError, match=r"has no module 'no\.such\.layer', which is the head in its spec") as caught:
        build("no.such.layer")
    assert "zoo-stranger" in str(caught.value)
    assert isinstance(build("1"), nn.Sequential)


class Wrong(nn.Module):
    def __init__(self, gives):
        super().__init__()
        self.gives = gives

    def forward(self, x):
        return self.gives(x)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda _, **__: "a network", "built a str, expected torch.nn.Module"),
        (
            lambda _, **__: Wrong(lambda x: x.flatten(1)),
            r"returns \(2, 64\) for two images, expected a vector \(2, 10\)",
        ),
        (lambda _, **__: Wrong(lambda x: [x.tolist()]), "returns list of list, but its spec declares output"),
        (lambda _, **__: Wrong(lambda x: None), "returns NoneType, but its spec declares output"),
        (lambda _, **__: Wrong(lambda x: {"logits": x}), "returns logits, but its spec declares output"),
        (lambda _, **__: nn.Sequential(nn.Flatten(), nn.Linear(3, 10)), "fails on images of 1×8×8"),
        (raising, "could not be built for 1×8×8: RuntimeError: no such layer"),
        (lambda _, in_channels: None, "could not be built"),
    ],
    ids=[
        "23-no-module",
        "24-wrong-shape",
        "24-no-tensor",
        "24-nothing",
        "24-another-name",
        "24-forward-raises",
        "build-raises",
        "build-refuses-arguments",
    ],
)
def test_what_is_no_network_is_blamed_on_its_plugin(monkeypatch, build, words) -> None:
    with pytest.raises(PluginError, match=words) as caught:
        build_odd(monkeypatch, build)
    assert "stranger/odd" in str(caught.value)
    assert "zoo-stranger" in str(caught.value)
    assert caught.value.exit_code == 6


def test_the_dry_forward_leaves_batch_norm_and_the_generator_alone(monkeypatch) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(), nn.Flatten(), nn.Linear(64, 10))
    before, state = network[0].running_mean.clone(), torch.get_rng_state()
    assert build_odd(monkeypatch, lambda _, **__: network) is network
    assert torch.equal(network[0].running_mean, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training


@pytest.mark.parametrize(("name", "published"), [("timm/cait_xxs24_224", 2.5e9), ("torchvision/vit_b_32", 4.41e9)])
def test_networks_whose_tokens_are_parameters_are_counted_whole(name, published) -> None:
    """A parameter that is a module's input, and attention that torch would fuse; the figures are the papers' and
    torchvision's, GMACs."""
    item = registry().architecture(name)
    section = Section(name=item.canonical, **options_model(item)().model_dump())
    with torch.device("meta"):
        model = build_model(registry(), section, in_channels=3, num_outputs=1000, image_size=(224, 224))
        assert count_macs(model, (3, 224, 224)) == pytest.approx(published, rel=0.02)
    assert all(parameter.requires_grad for parameter in model.parameters()) and model.training


def test_what_a_builder_refuses_in_words_of_its_own_is_not_blamed_on_the_plugin(monkeypatch) -> None:
    def refusing(_options, **_):
        raise UsageError("this one has no classifier", fix="choose another")

    with pytest.raises(UsageError, match=r"^this one has no classifier; fix: choose another$"):
        build_odd(monkeypatch, refusing)
