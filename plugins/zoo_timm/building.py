"""Networks as timm builds them, with weights drawn at random."""

from __future__ import annotations

import timm
from pydantic import Field
from torch import nn

from zoo.api import Options
from zoo.errors import UsageError


class TimmOptions(Options):
    drop_rate: float | None = Field(None, ge=0, lt=1, description="dropout before the classifier; none: timm's default")
    drop_path_rate: float | None = Field(
        None, ge=0, lt=1, description="stochastic depth, for networks that have it; none: timm's default"
    )


def build(
    options: TimmOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int], name: str
) -> nn.Module:
    """Raises UsageError for the few of timm's names that are encoders, whose output is features."""
    model: nn.Module = timm.create_model(
        name,
        pretrained=False,
        in_chans=in_channels,
        num_classes=num_outputs,
        drop_rate=options.drop_rate,
        drop_path_rate=options.drop_path_rate,
    )
    if model.num_classes != num_outputs:
        raise UsageError(
            f"timm's {name} is an encoder: it returns features and has no classifier", fix="choose another network"
        )
    return model
