"""torchvision's networks for segmentation: its metadata as specs, its outputs by name, its logits."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torchvision.models import get_model, get_model_weights, list_models
from zoo_torchvision.family import FAMILY

from zoo.api import Mask, Output
from zoo.config.run_config import Section
from zoo.models.building import build_model
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import registry
from zoo.runs.initial_weights import NamedWeights

NAMES = list_models(torchvision.models.segmentation)
WITH_AUXILIARY = [name for name in NAMES if not name.startswith("lraspp")]


def build(name: str, classes: int = 21) -> torch.nn.Module:
    section = Section(name=f"torchvision/{name}")
    return build_model(registry(), section, in_channels=3, num_outputs=classes, image_size=(64, 64))


@pytest.mark.parametrize("name", NAMES)
def test_specs_are_as_torchvision_describes_them(name: str) -> None:
    spec, [theirs] = FAMILY.spec(name), list(get_model_weights(name))
    [weights] = spec.weights.values()
    transform = theirs.transforms()
    assert (spec.main_output.kind, spec.channels, spec.num_outputs) == ("map", (3,), len(theirs.meta["categories"]))
    assert weights.url == theirs.url and weights.classes == tuple(theirs.meta["categories"])
    assert (weights.input, weights.resize) == ((3, *2 * transform.resize_size), transform.resize_size[0])
    assert (list(weights.mean), list(weights.std)) == (transform.mean, transform.std)
    reached = theirs.meta["_metrics"]["COCO-val2017-VOC-labels"]
    assert weights.metrics == pytest.approx(
        {"mean_iou": reached["miou"] / 100, "pixel_accuracy": reached["pixel_acc"] / 100}
    )
    assert spec.paper is not None and spec.paper.startswith("https://arxiv.org/abs/")
    assert "`" not in spec.summary and "Reference" not in spec.summary


def test_the_target_of_their_weights_is_a_mask() -> None:
    item = registry().architecture("torchvision/lraspp_mobilenet_v3_large")
    target = NamedWeights(item, "coco_with_voc_labels_v1").target
    assert isinstance(target, Mask) and target.names[:2] == ("__background__", "aeroplane")


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_torchvisions_weights_give_torchvisions_logits(name: str) -> None:
    torch.manual_seed(0)
    more = {"aux_loss": True} if name in WITH_AUXILIARY else {}
    theirs = get_model(name, weights=None, weights_backbone=None, **more).eval()
    ours = build(name).eval()
    ours.load_state_dict(theirs.state_dict())
    inputs = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(inputs), theirs(inputs)["out"])


def test_the_auxiliary_output_is_of_training_alone_with_torchvisions_weight() -> None:
    name = "deeplabv3_mobilenet_v3_large"
    assert FAMILY.spec(name).outputs == (Output(kind="map"), Output(name="aux", kind="map", auxiliary=0.5))
    model, reader = build(name, classes=5), OutputReader(FAMILY.spec(name).outputs)
    inputs = torch.zeros(2, 3, 64, 64)
    outputs = reader.by_name(model.train()(inputs))
    assert {each: tuple(logits.shape) for each, logits in outputs.items()} == dict.fromkeys(
        ("output", "aux"), (2, 5, 64, 64)
    )
    assert model.eval()(inputs).shape == (2, 5, 64, 64)
    assert FAMILY.spec("lraspp_mobilenet_v3_large").outputs == (Output(kind="map"),)
