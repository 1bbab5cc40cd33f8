"""A U-Net whose encoder is a network of timm (``features_only``), with a light decoder.

From the coarsest features on: enlarge to the size of the next finer ones (nearest neighbour), concatenate, one 3×3
convolution with batch norm and ReLU; the last step goes to the size of the image, where there are no features.
"""

from __future__ import annotations

import timm
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.api import Options
from zoo.errors import UsageError


class UNetOptions(Options):
    encoder: str = Field("resnet18", description="a network of timm that gives features (features_only), by its name")
    width: int = Field(
        32, ge=1, description="channels of the decoder at the size of the image; twice as many at each coarser level"
    )
    widest: int = Field(256, ge=1, description="the most channels of a level of the decoder")


class EncoderUNet(nn.Module):
    """Logits (N, num_outputs, H, W) from images (N, in_channels, H, W)."""

    def __init__(self, encoder: nn.Module, widths: list[int], num_outputs: int, width: int, widest: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.widths = widths
        self.steps = nn.ModuleList()
        before = widths[-1]
        for level, skip in reversed(list(enumerate([0, *widths[:-1]]))):
            after = min(widest, width * 2**level)
            self.steps.append(
                nn.Sequential(
                    nn.Conv2d(before + skip, after, kernel_size=3, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(inplace=True),
                )
            )
            before = after
        self.head = nn.Conv2d(before, num_outputs, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        *finer, y = (_channels_first(each, width) for each, width in zip(self.encoder(x), self.widths, strict=True))
        for step, skip in zip(self.steps, [*reversed(finer), None], strict=True):
            if skip is None:
                y = step(F.interpolate(y, size))
            else:
                y = step(torch.cat([F.interpolate(y, skip.shape[2:]), skip], 1))
        return self.head(y)  # type: ignore[no-any-return]


def _channels_first(features: Tensor, width: int) -> Tensor:
    """Of some networks (Swin) timm gives (N, H, W, C)."""
    return features if features.shape[1] == width else features.permute(0, 3, 1, 2)


def build(options: UNetOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> EncoderUNet:
    """Raises UsageError for an encoder that timm does not have, or of which it gives no features."""
    if not timm.is_model(options.encoder) or "." in options.encoder:
        raise UsageError(
            f"timm has no network '{options.encoder}'",
            where="architecture.encoder",
            fix="choose one of timm.list_models(), such as resnet18",
        )
    try:
        encoder = timm.create_model(options.encoder, pretrained=False, in_chans=in_channels, features_only=True)
    except (RuntimeError, AttributeError, AssertionError, TypeError, ValueError) as error:
        raise UsageError(
            f"timm gives no features of {options.encoder}: {' '.join(str(error).split())}",
            where="architecture.encoder",
            fix="choose a convolutional network, such as resnet18",
        ) from error
    widths = encoder.feature_info.channels()
    return EncoderUNet(encoder, list(widths), num_outputs, options.width, options.widest)
