"""Networks as torchvision builds them, with weights drawn at random."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn
from torchvision.models import get_model_builder

from zoo.api import Auxiliary, Options
from zoo.errors import UsageError

SHARES = {"googlenet": 0.3, "inception_v3": 0.4}
"""The weight of an auxiliary classifier's loss: GoogLeNet's paper (section 5), and torchvision's own training of
Inception v3."""


class AuxiliaryOptions(Options):
    transform_input: bool = Field(
        False,
        description="bring pictures from ImageNet's mean and std to -1 … 1 first, as torchvision's weights want it",
    )


def build(*, in_channels: int, num_classes: int, image_size: tuple[int, int], name: str) -> nn.Module:
    """Those of one size (vision transformers) are built for the one that is asked for.

    Raises UsageError where that is not square.
    """
    builder, sized = get_model_builder(name), {}
    if "vision_transformer" in builder.__module__:
        if image_size[0] != image_size[1]:
            raise UsageError(
                "torchvision's vision transformers take square pictures",
                fix="choose one side for both, as dataset.resize=224",
            )
        sized = {"image_size": image_size[0]}
    model: nn.Module = builder(weights=None, num_classes=num_classes, **sized)
    return model


def build_with_auxiliary(
    *, in_channels: int, num_classes: int, image_size: tuple[int, int], name: str, transform_input: bool
) -> nn.Module:
    """GoogLeNet and Inception v3, whose auxiliary classifiers are heard in training."""
    model: nn.Module = get_model_builder(name)(
        weights=None, num_classes=num_classes, aux_logits=True, transform_input=transform_input, init_weights=True
    )
    model.register_forward_hook(_as_auxiliary(SHARES[name]))
    return model


def _as_auxiliary(share: float) -> Any:
    """A forward hook that turns torchvision's named tuple into the zoo's; the logits of evaluation pass as they are."""

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return output
        return Auxiliary(output.logits, tuple((share, head) for head in output[1:] if head is not None))

    return hook
