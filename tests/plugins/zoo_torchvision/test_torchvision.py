"""torchvision as a family: its names without torch, its metadata as specs, its networks as they are."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
import torchvision
from torchvision.models import get_model, get_model_builder, get_model_weights, list_models
from zoo_torchvision.family import FAMILY

from zoo.api import ArchitectureSpec
from zoo.config.run_config import Section
from zoo.errors import UsageError
from zoo.models.building import build_model
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import registry
from zoo.testing.options import default_options

NAMES, PIXELWISE = list_models(torchvision.models), list_models(torchvision.models.segmentation)
LIGHT = [
    "alexnet",
    "densenet121",
    "efficientnet_b0",
    "mnasnet0_5",
    "mobilenet_v3_small",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "vgg11",
]


def build(name, side, classes=1000, **options):
    item = registry().architecture(f"torchvision/{name}")
    section = Section(name=item.canonical, **{**default_options(item), **options})
    return build_model(registry(), section, in_channels=3, num_outputs=classes, image_size=(side, side))


def test_the_names_are_exactly_torchvisions() -> None:
    assert sorted(FAMILY.names()) == sorted(NAMES + PIXELWISE)
    assert FAMILY.version == torchvision.__version__.partition("+")[0]


def test_names_are_read_without_torch() -> None:
    code = (
        "import sys; from zoo_torchvision.family import FAMILY; print(len(FAMILY.names()), {'torch', 'numpy'} & "
        "set(sys.modules) or 'light')"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == [
        str(len(NAMES + PIXELWISE)),
        "light",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_as_torchvision_describes_them(name) -> None:
    spec, known = FAMILY.spec(name), list(get_model_weights(name))
    assert isinstance(spec, ArchitectureSpec) and (spec.name, spec.channels) == (name, (3,))
    assert list(spec.weights) == [weights.name.lower() for weights in known]
    for weights, theirs in zip(spec.weights.values(), known, strict=True):
        transform = theirs.transforms()
        assert weights.url == theirs.url and weights.format == "torch"
        assert f"-{weights.sha256}.pth" in theirs.url and len(weights.sha256) >= 8
        assert weights.classes == tuple(theirs.meta.get("categories") or ())
        assert (weights.input, weights.resize) == ((3, *transform.crop_size * 2), transform.resize_size[0])
        assert (list(weights.mean), list(weights.std)) == (transform.mean, transform.std)
        assert weights.interpolation == transform.interpolation.value
        reached = theirs.meta["_metrics"].get("ImageNet-1K", {}).get("acc@1", math.nan)
        assert weights.metrics.get("accuracy", math.nan) == pytest.approx(reached / 100, nan_ok=True)
        assert "<" not in weights.summary and "\n" not in weights.summary
    assert spec.summary and "`" not in spec.summary


def test_a_network_is_cited_as_its_builder_does() -> None:
    spec = FAMILY.spec("shufflenet_v2_x1_0")
    assert (spec.summary, spec.paper) == (
        "ShuffleNetV2 architecture with 1.0x output channels",
        "https://arxiv.org/abs/1807.11164",
    )
    assert spec.source.startswith("ShuffleNet V2: Practical Guidelines")
    assert FAMILY.spec("resnet50").source == "Deep Residual Learning for Image Recognition"


@pytest.mark.parametrize("name", LIGHT)
def test_torchvisions_weights_give_torchvisions_logits(name) -> None:
    torch.manual_seed(0)
    theirs, ours = get_model(name).eval(), build(name, 64).eval()
    ours.load_state_dict(theirs.state_dict())
    inputs = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(inputs), theirs(inputs))


ONE_OF_EACH = {
    FAMILY.spec(name).head + str(get_model_builder(name).__module__): name for name in reversed(NAMES)
}.values()
"""The first network of each module of torchvision."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ONE_OF_EACH else [pytest.mark.slow]) for name in NAMES]
)
def test_the_head_is_the_module_that_gives_the_logits(name) -> None:
    spec = FAMILY.spec(name)
    model = get_model(name, num_classes=7, **({"init_weights": False} if name in ("googlenet", "inception_v3") else {}))
    head = dict(model.named_modules())[spec.head]
    assert head.weight.shape[0] == 7
    assert [name for name, module in model.named_modules() if getattr(module, "weight", None) is not None][
        -1
    ] == spec.head


@pytest.mark.parametrize(("name", "share", "heads", "side"), [("googlenet", 0.3, 2, 64), ("inception_v3", 0.4, 1, 299)])
def test_auxiliary_classifiers_are_heard_in_training_alone(name, share, heads, side) -> None:
    model, reader = build(name, side, classes=7), OutputReader(FAMILY.spec(name).outputs)
    assert [output.auxiliary for output in reader.auxiliary] == [share] * heads
    inputs = torch.zeros(2, 3, side, side)
    outputs = reader.by_name(model.train()(inputs))
    declared = ["output", *(output.name for output in reader.auxiliary)]
    assert {name: tuple(logits.shape) for name, logits in outputs.items()} == dict.fromkeys(declared, (2, 7))
    assert model.eval()(inputs).shape == (2, 7)
    weights = FAMILY.spec(name).weights["imagenet1k_v1"]
    assert (
        weights.architecture_options == {"transform_input": True}
        and build(name, side, **weights.architecture_options).transform_input
    )


def test_a_vision_transformer_is_built_for_another_size_where_that_is_asked_for() -> None:
    spec = FAMILY.spec("vit_b_32")
    assert (spec.sizing, spec.smallest, spec.multiple, spec.input) == ("chosen", 32, 32, (3, 224, 224))
    assert FAMILY.spec("vit_h_14").multiple == 14
    with torch.device("meta"):
        assert build("vit_b_32", 96, classes=7)(torch.zeros(2, 3, 96, 96)).shape == (2, 7)
        with pytest.raises(
            UsageError, match="does not support 100×100 images: it needs at least 32×32, in multiples of 32"
        ):
            build("vit_b_32", 100)
        with pytest.raises(UsageError, match="need square images"):
            build_model(
                registry(), Section(name="torchvision/vit_b_32"), in_channels=3, num_outputs=7, image_size=(64, 96)
            )


@pytest.mark.parametrize("name", ["resnet50_quantized", "no_such_net", "fasterrcnn_resnet50_fpn", ""])
def test_what_is_no_classifier_of_torchvision_is_a_key_error(name) -> None:
    with pytest.raises(KeyError):
        FAMILY.spec(name)
