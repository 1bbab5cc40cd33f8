"""Inception v2, or BN-Inception (Ioffe and Szegedy: Batch normalization, 2015, the appendix's figure 5).

GoogLeNet's plan with batch norm after every convolution, each 5×5 as two 3×3 (25 weights a channel pair become 18),
average pools in most modules, and modules 3c and 4e that halve the size themselves. No response normalisation, no
dropout, no auxiliary heads here: batch norm takes their place. The rows are the paper's table; its column of output
sizes says 576 channels after 4c and 4d, where the branches it lists sum to 608, and the branches are followed here:
11.3 million parameters with 1000 classes. (The name "v2" is also used for networks between this one and v3; this is the
batch-norm paper's.)
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.api import Options


class Widths(NamedTuple):
    """A row of the table; ``pool`` 0 passes the pooled channels on, with stride 2 in all branches."""

    one: int
    reduce3: int
    three: int
    reduce_double: int
    double: int
    pooling: Literal["average", "max"]
    pool: int


TABLE = {
    "3a": Widths(64, 64, 64, 64, 96, "average", 32),
    "3b": Widths(64, 64, 96, 64, 96, "average", 64),
    "3c": Widths(0, 128, 160, 64, 96, "max", 0),
    "4a": Widths(224, 64, 96, 96, 128, "average", 128),
    "4b": Widths(192, 96, 128, 96, 128, "average", 128),
    "4c": Widths(160, 128, 160, 128, 160, "average", 128),
    "4d": Widths(96, 128, 192, 160, 192, "average", 128),
    "4e": Widths(0, 128, 192, 192, 256, "max", 0),
    "5a": Widths(352, 192, 320, 160, 224, "average", 128),
    "5b": Widths(352, 192, 320, 192, 224, "max", 128),
}


def unit(in_width: int, width: int, **options: Any) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_width, width, bias=False, **options), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )


class Inception(nn.Module):
    """(N, in_width, H, W) → (N, out_width, H, W), or half the size where the row has no 1×1 branch."""

    def __init__(self, in_width: int, row: Widths) -> None:
        super().__init__()
        stride = 1 if row.one else 2
        self.branches = nn.ModuleList()
        if row.one:
            self.branches.append(unit(in_width, row.one, kernel_size=1))
        self.branches.append(
            nn.Sequential(
                unit(in_width, row.reduce3, kernel_size=1),
                unit(row.reduce3, row.three, kernel_size=3, stride=stride, padding=1),
            )
        )
        self.branches.append(
            nn.Sequential(
                unit(in_width, row.reduce_double, kernel_size=1),
                unit(row.reduce_double, row.double, kernel_size=3, padding=1),
                unit(row.double, row.double, kernel_size=3, stride=stride, padding=1),
            )
        )
        pool: nn.Module = (
            nn.MaxPool2d(3, stride, padding=1) if row.pooling == "max" else nn.AvgPool2d(3, stride, padding=1)
        )
        self.branches.append(nn.Sequential(pool, unit(in_width, row.pool, kernel_size=1)) if row.pool else pool)
        self.out_width = row.one + row.three + row.double + (row.pool or in_width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class InceptionV2(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W), H and W at least 32."""

    def __init__(self, in_channels: int, num_outputs: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            unit(in_channels, 64, kernel_size=7, stride=2, padding=3),
            nn.MaxPool2d(3, stride=2, padding=1),
            unit(64, 64, kernel_size=1),
            unit(64, 192, kernel_size=3, padding=1),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        width = 192
        self.inceptions = nn.ModuleDict()
        for name, row in TABLE.items():
            module = self.inceptions[name] = Inception(width, row)
            width = module.out_width
        self.fc = nn.Linear(width, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, 192, H/8, W/8)
        for module in self.inceptions.values():
            x = module(x)
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)  # (N, 1024, H/32, W/32) → (N, 1024)
        return self.fc(x)  # type: ignore[no-any-return]


def build(options: Options, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> InceptionV2:
    return InceptionV2(in_channels, num_outputs)
