"""Inception v3 (Szegedy et al.: Rethinking the Inception architecture for computer vision, 2015).

Factorised further: 7×7 as 1×7 and 7×1, grids halved by convolution and pool side by side; 299×299 images; one
auxiliary classifier, with batch norm, which exists in training alone (section 4 and figure 8 of the paper). 27,161,264
parameters with it. Names, and the places where the paper leaves a choice, are torchvision's, so that its weights load.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_classics.options import InceptionV3Options


class ConvUnit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_width: int, width: int, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, width, bias=False, **options)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def average3(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)


class InceptionA(nn.Module):
    """Figure 5: 5×5 beside two 3×3. (N, in_width, H, W) → (N, 224 + pool, H, W)."""

    def __init__(self, in_width: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = ConvUnit(in_width, 64, kernel_size=1)
        self.branch5x5_1 = ConvUnit(in_width, 48, kernel_size=1)
        self.branch5x5_2 = ConvUnit(48, 64, kernel_size=5, padding=2)
        self.branch3x3dbl_1 = ConvUnit(in_width, 64, kernel_size=1)
        self.branch3x3dbl_2 = ConvUnit(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = ConvUnit(96, 96, kernel_size=3, padding=1)
        self.branch_pool = ConvUnit(in_width, pool, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat(
            [self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(average3(x))], 1
        )


class InceptionB(nn.Module):
    """Figure 10: halves the grid, convolutions and pool side by side.

    (N, in_width, H, W) → (N, 480 + in_width, H/2, W/2).
    """

    def __init__(self, in_width: int) -> None:
        super().__init__()
        self.branch3x3 = ConvUnit(in_width, 384, kernel_size=3, stride=2)
        self.branch3x3dbl_1 = ConvUnit(in_width, 64, kernel_size=1)
        self.branch3x3dbl_2 = ConvUnit(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = ConvUnit(96, 96, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, kernel_size=3, stride=2)], 1)


class InceptionC(nn.Module):
    """Figure 6: n×n as 1×n and n×1, with n = 7. (N, in_width, H, W) → (N, 768, H, W)."""

    def __init__(self, in_width: int, middle: int) -> None:
        super().__init__()
        row: dict[str, Any] = {"kernel_size": (1, 7), "padding": (0, 3)}
        column: dict[str, Any] = {"kernel_size": (7, 1), "padding": (3, 0)}
        self.branch1x1 = ConvUnit(in_width, 192, kernel_size=1)
        self.branch7x7_1 = ConvUnit(in_width, middle, kernel_size=1)
        self.branch7x7_2 = ConvUnit(middle, middle, **row)
        self.branch7x7_3 = ConvUnit(middle, 192, **column)
        self.branch7x7dbl_1 = ConvUnit(in_width, middle, kernel_size=1)
        self.branch7x7dbl_2 = ConvUnit(middle, middle, **column)
        self.branch7x7dbl_3 = ConvUnit(middle, middle, **row)
        self.branch7x7dbl_4 = ConvUnit(middle, middle, **column)
        self.branch7x7dbl_5 = ConvUnit(middle, 192, **row)
        self.branch_pool = ConvUnit(in_width, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(average3(x))], 1)


class InceptionD(nn.Module):
    """The second halving. (N, in_width, H, W) → (N, 512 + in_width, H/2, W/2)."""

    def __init__(self, in_width: int) -> None:
        super().__init__()
        self.branch3x3_1 = ConvUnit(in_width, 192, kernel_size=1)
        self.branch3x3_2 = ConvUnit(192, 320, kernel_size=3, stride=2)
        self.branch7x7x3_1 = ConvUnit(in_width, 192, kernel_size=1)
        self.branch7x7x3_2 = ConvUnit(192, 192, kernel_size=(1, 7), padding=(0, 3))
        self.branch7x7x3_3 = ConvUnit(192, 192, kernel_size=(7, 1), padding=(3, 0))
        self.branch7x7x3_4 = ConvUnit(192, 192, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        factorised = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat(
            [self.branch3x3_2(self.branch3x3_1(x)), factorised, F.max_pool2d(x, kernel_size=3, stride=2)], 1
        )


class InceptionE(nn.Module):
    """Figure 7: 1×3 and 3×1 side by side, for the coarsest grid. (N, in_width, H, W) → (N, 2048, H, W)."""

    def __init__(self, in_width: int) -> None:
        super().__init__()
        row: dict[str, Any] = {"kernel_size": (1, 3), "padding": (0, 1)}
        column: dict[str, Any] = {"kernel_size": (3, 1), "padding": (1, 0)}
        self.branch1x1 = ConvUnit(in_width, 320, kernel_size=1)
        self.branch3x3_1 = ConvUnit(in_width, 384, kernel_size=1)
        self.branch3x3_2a = ConvUnit(384, 384, **row)
        self.branch3x3_2b = ConvUnit(384, 384, **column)
        self.branch3x3dbl_1 = ConvUnit(in_width, 448, kernel_size=1)
        self.branch3x3dbl_2 = ConvUnit(448, 384, kernel_size=3, padding=1)
        self.branch3x3dbl_3a = ConvUnit(384, 384, **row)
        self.branch3x3dbl_3b = ConvUnit(384, 384, **column)
        self.branch_pool = ConvUnit(in_width, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        wide = [
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
        ]
        return torch.cat([self.branch1x1(x), *wide, self.branch_pool(average3(x))], 1)


class Head(nn.Module):
    """The auxiliary classifier (figure 8)."""

    def __init__(self, in_width: int, num_outputs: int) -> None:
        super().__init__()
        self.conv0 = ConvUnit(in_width, 128, kernel_size=1)
        self.conv1 = ConvUnit(128, 768, kernel_size=5)
        self.fc = nn.Linear(768, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        # 17 → 5, which conv1 needs
        x = F.avg_pool2d(x, kernel_size=5, stride=3) if min(x.shape[2:]) >= 17 else F.adaptive_avg_pool2d(x, 5)
        x = self.conv0(x)
        x = F.adaptive_avg_pool2d(self.conv1(x), 1).flatten(1)  # (N, 768, h, w) → (N, 768)
        return self.fc(x)  # type: ignore[no-any-return]


class InceptionV3(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W), H and W at least 75; in training mode
    those of the auxiliary classifier beside, "aux"."""

    def __init__(self, in_channels: int, num_outputs: int, auxiliary: bool = True, dropout: float = 0.5) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvUnit(in_channels, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = ConvUnit(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = ConvUnit(32, 64, kernel_size=3, padding=1)
        self.Conv2d_3b_1x1 = ConvUnit(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = ConvUnit(80, 192, kernel_size=3)
        self.Mixed_5b = InceptionA(192, pool=32)
        self.Mixed_5c = InceptionA(256, pool=64)
        self.Mixed_5d = InceptionA(288, pool=64)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(768, middle=128)
        self.Mixed_6c = InceptionC(768, middle=160)
        self.Mixed_6d = InceptionC(768, middle=160)
        self.Mixed_6e = InceptionC(768, middle=192)
        self.AuxLogits = Head(768, num_outputs) if auxiliary else None
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280)
        self.Mixed_7c = InceptionE(2048)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, mean=0.0, std=0.1, a=-2, b=2)

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # 299 → 147
        x = F.max_pool2d(x, kernel_size=3, stride=2)  # → 73
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))  # → 71
        x = F.max_pool2d(x, kernel_size=3, stride=2)  # → 35
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))  # (N, 288, 35, 35)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))  # (N, 768, 17, 17)
        middle = x
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (N, 2048, 8, 8)
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)  # → (N, 2048)
        logits = self.fc(self.dropout(x))
        if not self.training or self.AuxLogits is None:
            return logits  # type: ignore[no-any-return]
        return {"output": logits, "aux": self.AuxLogits(middle)}


def build(
    options: InceptionV3Options, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]
) -> InceptionV3:
    return InceptionV3(in_channels, num_outputs, options.auxiliary, options.dropout)
