"""torchvision's networks for semantic segmentation: FCN, DeepLabv3 and LR-ASPP."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchvision.models import get_model_builder

from zoo.api import ArchitectureSpec, Options, Output

AUXILIARY_WEIGHT = 0.5
"""Of the loss of the auxiliary head, in torchvision's own training (references/segmentation/train.py)."""
HEADS = {"fcn": "classifier.4", "deeplabv3": "classifier.4", "lraspp": None}
"""The layer that gives the logits, by the module of torchvision that defines a network; LR-ASPP adds up those of
two."""
SMALLEST = 32


def spec_of(name: str, builder: Any, common: dict[str, Any]) -> ArchitectureSpec:
    """Return the spec of a network; ``common`` has its citation and its weights."""
    module = builder.__module__.rpartition(".")[2]
    auxiliary = () if module == "lraspp" else (Output(name="aux", kind="map", auxiliary=AUXILIARY_WEIGHT),)
    return ArchitectureSpec(
        name=name,
        target="zoo_torchvision.segmentation:build",
        builder_options={"name": name},
        input=(3, 520, 520),
        smallest=SMALLEST,
        channels=(3,),
        num_outputs=21,
        outputs=(Output(kind="map"), *auxiliary),
        head=HEADS[module],
        **common,
    )


def build(options: Options, *, in_channels: int, num_outputs: int, image_size: tuple[int, int], name: str) -> nn.Module:
    """Build a network with random weights, the backbone's included; logits (N, num_outputs, H, W).

    In training, networks with an auxiliary head return it, too.
    """
    auxiliary = {} if name.startswith("lraspp") else {"aux_loss": True}
    model: nn.Module = get_model_builder(name)(
        weights=None, weights_backbone=None, num_classes=num_outputs, **auxiliary
    )
    model.register_forward_hook(_by_name)
    return model


def _by_name(module: nn.Module, _inputs: Any, given: dict[str, Tensor]) -> Any:
    """A forward hook: the main output alone, in training with the auxiliary one by name."""
    if module.training and "aux" in given:
        return {"output": given["out"], "aux": given["aux"]}
    return given["out"]
