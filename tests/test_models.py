"""What a plugin may build, and what becomes of it otherwise (FAULTS 23, 24)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo import models
from zoo.api import ArchitectureSpec
from zoo.config import Section
from zoo.discovery import Plugin
from zoo.errors import PluginError
from zoo.registry import Registry


def catalogue_of(monkeypatch, build) -> Registry:
    spec = ArchitectureSpec(name="odd", summary="built by a test", target="stranger:build", input=(1, 8, 8))
    monkeypatch.setattr(models, "load_object", lambda reference, item: build)
    return Registry([Plugin("stranger", "zoo-stranger", "1.0", "stranger", specs={"architecture": [spec]})], events=None)


def build_odd(monkeypatch, build):
    return models.build_model(catalogue_of(monkeypatch, build), Section(name="odd"), in_channels=1, num_classes=10, image_size=(8, 8))


def raising(**_):
    raise RuntimeError("no such layer")


class Wrong(nn.Module):
    def __init__(self, gives):
        super().__init__()
        self.gives = gives

    def forward(self, x):
        return self.gives(x)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda **_: "a network", "built a str, which is no torch.nn.Module"),
        (lambda **_: Wrong(lambda x: x.flatten(1)), r"gives \(2, 64\) for two pictures, where logits \(2, 10\) are due"),
        (lambda **_: Wrong(lambda x: [x]), "gives list"),
        (lambda **_: nn.Sequential(nn.Flatten(), nn.Linear(3, 10)), "fails on pictures of 1×8×8"),
        (raising, "could not be built for 1×8×8: RuntimeError: no such layer"),
        (lambda in_channels: None, "could not be built"),
    ],
    ids=["23-no-module", "24-wrong-shape", "24-no-tensor", "24-forward-raises", "build-raises", "build-refuses-arguments"],
)
def test_what_is_no_network_is_blamed_on_its_plugin(monkeypatch, build, words):
    with pytest.raises(PluginError, match=words) as caught:
        build_odd(monkeypatch, build)
    assert "stranger/odd" in str(caught.value)
    assert "zoo-stranger" in str(caught.value)
    assert caught.value.exit_code == 6


def test_the_dry_forward_leaves_batch_norm_and_the_generator_alone(monkeypatch):
    torch.manual_seed(1)
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(), nn.Flatten(), nn.Linear(64, 10))
    before, state = network[0].running_mean.clone(), torch.get_rng_state()
    assert build_odd(monkeypatch, lambda **_: network) is network
    assert torch.equal(network[0].running_mean, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
