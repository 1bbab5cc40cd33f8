"""timm as a family: its names without torch, its configurations as specs, its networks as they are."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import timm
import torch
from zoo_timm.family import FAMILY

from zoo.api import ArchitectureSpec
from zoo.config.run_config import Section
from zoo.errors import UsageError
from zoo.models.building import build_model, count_parameters
from zoo.registry.lookup import registry
from zoo.testing.options import default_options

NAMES = timm.list_models()
SAMPLE = random.Random(0).sample(NAMES, 60)


def test_the_names_are_exactly_timms() -> None:
    assert sorted(FAMILY.names()) == sorted(NAMES)
    assert FAMILY.version == timm.__version__


def test_names_are_read_without_torch() -> None:
    code = (
        "import sys; from zoo_timm.family import FAMILY; print(len(FAMILY.names()), {'torch', 'numpy', 'timm'} & "
        "set(sys.modules) or 'light')"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == [
        str(len(NAMES)),
        "light",
    ]


@pytest.mark.parametrize("name", SAMPLE)
def test_a_configuration_is_read_as_timm_resolves_it(name) -> None:
    """The other implementation is timm.data.resolve_model_data_config, over the same configuration."""
    spec, known = FAMILY.spec(name), timm.get_pretrained_cfg(name)
    assert isinstance(spec, ArchitectureSpec) and spec.name == name
    assert spec.input == tuple(known.input_size)
    assert (spec.sizing == "fixed") == bool(known.fixed_input_size)
    for tag, weights in spec.weights.items():
        cfg = timm.get_pretrained_cfg(f"{name}.{tag}")
        data = timm.data.resolve_data_config(pretrained_cfg=cfg.to_dict())
        assert (weights.input, weights.mean, weights.std) == (
            tuple(data["input_size"]),
            tuple(data["mean"]),
            tuple(data["std"]),
        )
        assert weights.interpolation == data["interpolation"]
        assert {"cover": "center", "squash": "squash"}[weights.fit] == data["crop_mode"]
        assert len(weights.classes) in (0, cfg.num_classes)
        assert weights.url.startswith("https://") and weights.licence


def test_the_resize_is_that_of_timms_own_transform() -> None:
    transform = timm.data.create_transform(
        **timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg("resnet50.a1_in1k").to_dict())
    )
    weights = FAMILY.spec("resnet50").weights["a1_in1k"]
    assert (weights.resize, weights.input[1:]) == (transform.transforms[0].size, tuple(transform.transforms[1].size))
    assert (weights.dataset, weights.classes[258], weights.licence) == (
        "imagenet-1k",
        "Samoyed, Samoyede",
        "apache-2.0",
    )
    assert weights.url == "https://huggingface.co/timm/resnet50.a1_in1k/resolve/main/model.safetensors"
    assert (weights.format, weights.sha256) == ("safetensors", None)


def test_a_release_s_file_name_gives_the_first_digits_of_its_sha256() -> None:
    weights = FAMILY.spec("gcvit_base").weights["in1k"]
    assert (weights.sha256, weights.format) == ("f009139b", "torch")


def test_what_the_weights_of_a_model_without_a_classifier_are() -> None:
    weights = FAMILY.spec("vit_small_patch14_dinov2").weights["lvd142m"]
    assert (weights.classes, weights.dataset) == ((), "lvd142m")


def test_weights_that_cannot_be_said_are_left_out() -> None:
    assert "in22k_ijepa" not in FAMILY.spec("vit_giant_patch16_gap_224").weights  # .tar, which holds more than tensors
    assert FAMILY.spec("deepseek_vit_412m").weights == {}  # padded images


@pytest.mark.parametrize("name", ["resnet50.a1_in1k", "no_such_net", ""])
def test_what_timm_has_not_is_a_key_error(name) -> None:
    with pytest.raises(KeyError):
        FAMILY.spec(name)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("timm/resnet50", 25_557_032), ("timm/efficientnet_b0", 5_288_548), ("timm/vit_tiny_patch16_224", 5_717_416)],
)
def test_networks_are_timms(name, parameters) -> None:
    item = registry().architecture(name)
    with torch.device("meta"):
        model = build_model(registry(), section(item), in_channels=3, num_outputs=1000, image_size=item.spec.input[1:])
    assert count_parameters(model) == (parameters, parameters)
    assert item.spec.head in dict(model.named_modules())


def section(item, **options):
    return Section(name=item.canonical, **{**default_options(item), **options})


def test_options_reach_timm() -> None:
    item = registry().architecture("timm/resnet10t")
    model = build_model(registry(), section(item, drop_rate=0.25), in_channels=1, num_outputs=10, image_size=(32, 32))
    assert (model.drop_rate, model.conv1[0].in_channels, model.num_classes) == (0.25, 1, 10)


@pytest.mark.parametrize(
    "name", ["csatv2", "ghostnetv2_100", "ghostnetv3_050", "inception_resnet_v2", "inception_v3", "inception_v4"]
)
def test_the_smallest_sizes_are_the_smallest(name) -> None:
    spec = FAMILY.spec(name)
    assert taken(name, spec.smallest) and not taken(name, spec.smallest - spec.multiple)


@pytest.mark.parametrize(
    "name",
    ["csatv2", "dla34", "hrnet_w18_small", "naflexvit_base_patch16_gap", "resnet50_mlp", "resnetaa34d", "tresnet_m"],
)
def test_multiples_are_needed(name) -> None:
    spec = FAMILY.spec(name)
    side = -(-2 * spec.smallest // spec.multiple) * spec.multiple
    assert taken(name, side) and taken(name, side + spec.multiple) and not taken(name, side + spec.multiple // 2 - 1)


def taken(name, side):
    """Whether a network takes images of that side, on the meta device."""
    try:
        with torch.device("meta"):
            return timm.create_model(name, num_classes=7)(torch.zeros(2, 3, side, side)).shape == (2, 7)
    except RuntimeError:
        return False


def test_an_encoder_is_said_to_have_no_classifier() -> None:
    item = registry().architecture("timm/qwen3_vit_88m_enc")
    with (
        pytest.raises(UsageError, match="is an encoder: it returns features and has no classifier"),
        torch.device("meta"),
    ):
        build_model(registry(), section(item), in_channels=3, num_outputs=10, image_size=(32, 32))
