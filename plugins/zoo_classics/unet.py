"""U-Net (Ronneberger, Fischer, Brox: U-Net: convolutional networks for biomedical image segmentation, 2015).

Two 3×3 convolutions a level; max-pooling halves the image and the next level has twice the channels; on the way back,
2×2 up-convolutions double it, and the features of the same level on the way down are concatenated. Deviations:
convolutions are padded, so that the output has the size of the input, and followed by batch norm. A side that is odd
is halved rounding up, and what is too much after the up-convolution is cut off, so that any size fits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_classics.options import UNetOptions


class UNet(nn.Module):
    """Logits (N, num_outputs, H, W) from images (N, in_channels, H, W)."""

    def __init__(self, in_channels: int, num_outputs: int, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            pair(before, after) for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        back = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(before, after, kernel_size=2, stride=2) for before, after in back)
        self.join = nn.ModuleList(pair(2 * after, after) for _, after in back)
        self.head = nn.Conv2d(width, num_outputs, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        skipped = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)  # (N, 2^level · width, H/2^level, W/2^level)
            skipped.append(x)
        for skip, up, join in zip(skipped[-2::-1], self.up, self.join, strict=True):
            x = up(x)[..., : skip.shape[2], : skip.shape[3]]
            x = join(torch.cat([skip, x], 1))
        return self.head(x)  # type: ignore[no-any-return]


def pair(before: int, after: int) -> nn.Sequential:
    """Two 3×3 convolutions with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for width in (before, after):
        layers += [
            nn.Conv2d(width, after, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def build(options: UNetOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> UNet:
    return UNet(in_channels, num_outputs, options.width, options.depth)
