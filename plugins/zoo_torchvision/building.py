"""Networks as torchvision builds them, with weights drawn at random."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn
from torchvision.models import get_model_builder

from zoo.api import Options
from zoo.errors import UsageError


class AuxiliaryOptions(Options):
    transform_input: bool = Field(
        False,
        description="convert images normalised with ImageNet's mean and std to -1 … 1, as torchvision's weights need",
    )


def build(options: Options, *, in_channels: int, num_outputs: int, image_size: tuple[int, int], name: str) -> nn.Module:
    """Those of one size (vision transformers) are built for the one that is asked for.

    Raises UsageError where that is not square.
    """
    builder, sized = get_model_builder(name), {}
    if "vision_transformer" in builder.__module__:
        if image_size[0] != image_size[1]:
            raise UsageError(
                "torchvision's vision transformers need square images",
                fix="set one size for both sides: --set dataset.resize=224",
            )
        sized = {"image_size": image_size[0]}
    model: nn.Module = builder(weights=None, num_classes=num_outputs, **sized)
    return model


def build_with_auxiliary(
    options: AuxiliaryOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int], name: str
) -> nn.Module:
    """Build GoogLeNet or Inception v3, whose auxiliary classifiers are used in training."""
    model: nn.Module = get_model_builder(name)(
        weights=None,
        num_classes=num_outputs,
        aux_logits=True,
        transform_input=options.transform_input,
        init_weights=True,
    )
    model.register_forward_hook(_by_name)
    return model


def _by_name(_module: nn.Module, _inputs: Any, output: Any) -> Any:
    """A forward hook that gives torchvision's named tuple of training as outputs by name; the logits of evaluation pass
    as they are."""
    if isinstance(output, Tensor):
        return output
    named = zip(output._fields, output, strict=True)
    return {"output" if name == "logits" else name: value for name, value in named if value is not None}
