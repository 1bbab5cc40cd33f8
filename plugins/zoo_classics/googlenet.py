"""GoogLeNet (Szegedy et al.: Going deeper with convolutions, 2014; Inception v1).

Nine inception modules: 1×1, 3×3 and 5×5 convolutions and a pool side by side, the larger ones behind 1×1 reductions. 22
layers with parameters; the last is the only linear one, but for those of two auxiliary classifiers, which exist in
training alone: in eval mode, and so in every export, there are none. The paper's network has 6,998,552 parameters,
13,378,280 with the heads.

``variant="torchvision"`` is torchvision's network: batch norm in place of response normalisation, 3×3 where the paper
has 5×5 (a known slip of the port it descends from), 6,624,904 parameters (13,004,888 with the heads); its weights load,
since the names are the same. ``module="naive"`` is figure 2(a) of the paper, without reductions: what the 1×1
convolutions save can be measured.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_classics.options import GoogLeNetOptions


class Widths(NamedTuple):
    """A row of the paper's table 1."""

    one: int
    reduce3: int
    three: int
    reduce5: int
    five: int
    pool: int


TABLE = {
    "3a": Widths(64, 96, 128, 16, 32, 32),
    "3b": Widths(128, 128, 192, 32, 96, 64),
    "4a": Widths(192, 96, 208, 16, 48, 64),
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),
    "4e": Widths(256, 160, 320, 32, 128, 128),
    "5a": Widths(256, 160, 320, 32, 128, 128),
    "5b": Widths(384, 192, 384, 48, 128, 128),
}


class Style(NamedTuple):
    """Where the paper and torchvision differ."""

    batch_norm: bool
    large: int
    """Side of the largest kernel."""
    last_pool: int
    dropout: float


STYLES = {"paper": Style(False, 5, 3, 0.4), "torchvision": Style(True, 3, 2, 0.2)}


class ConvUnit(nn.Module):
    """Convolution, batch norm where the style has it, ReLU."""

    def __init__(self, style: Style, in_width: int, width: int, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, width, bias=not style.batch_norm, **options)
        self.bn = nn.BatchNorm2d(width, eps=0.001) if style.batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Figure 2(b): four branches, (N, in_width, H, W) → (N, one + three + five + pool, H, W)."""

    def __init__(self, style: Style, in_width: int, widths: Widths) -> None:
        super().__init__()
        large = {"kernel_size": style.large, "padding": style.large // 2}
        self.branch1 = ConvUnit(style, in_width, widths.one, kernel_size=1)
        self.branch2 = nn.Sequential(
            ConvUnit(style, in_width, widths.reduce3, kernel_size=1),
            ConvUnit(style, widths.reduce3, widths.three, kernel_size=3, padding=1),
        )
        self.branch3 = nn.Sequential(
            ConvUnit(style, in_width, widths.reduce5, kernel_size=1),
            ConvUnit(style, widths.reduce5, widths.five, **large),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1), ConvUnit(style, in_width, widths.pool, kernel_size=1)
        )
        self.out_width = widths.one + widths.three + widths.five + widths.pool

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class NaiveInception(nn.Module):
    """Figure 2(a): no reductions, and the pool passes every channel on: (N, in_width, H, W) → (N, one + three + five +
    in_width, H, W)."""

    def __init__(self, style: Style, in_width: int, widths: Widths) -> None:
        super().__init__()
        self.branch1 = ConvUnit(style, in_width, widths.one, kernel_size=1)
        self.branch2 = ConvUnit(style, in_width, widths.three, kernel_size=3, padding=1)
        self.branch3 = ConvUnit(style, in_width, widths.five, kernel_size=style.large, padding=style.large // 2)
        self.branch4 = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
        self.out_width = widths.one + widths.three + widths.five + in_width

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Head(nn.Module):
    """An auxiliary classifier: average pool to 4×4, 1×1 convolution, two linear layers (section 5)."""

    def __init__(self, style: Style, in_width: int, num_outputs: int) -> None:
        super().__init__()
        self.conv = ConvUnit(style, in_width, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_outputs)
        self.dropout = nn.Dropout(0.7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.adaptive_avg_pool2d(x, 4))
        x = x.flatten(1)  # (N, 128, 4, 4) → (N, 2048)
        return self.fc2(self.dropout(F.relu(self.fc1(x), inplace=True)))  # type: ignore[no-any-return]


class GoogLeNet(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W), H and W at least 32; in training mode
    the logits of both auxiliary classifiers beside, "aux1" and "aux2"."""

    def __init__(
        self,
        in_channels: int,
        num_outputs: int,
        variant: str = "paper",
        module: str = "reduced",
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        style, kind = STYLES[variant], Inception if module == "reduced" else NaiveInception
        self.conv1 = ConvUnit(style, in_channels, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvUnit(style, 64, 64, kernel_size=1)
        self.conv3 = ConvUnit(style, 64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(style.last_pool, stride=2, ceil_mode=True)
        # torch divides α by the five channels; the caffe model of the paper's authors does so too
        self.norm = nn.Identity() if style.batch_norm else nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)
        width, widths = 192, {}
        for name, row in TABLE.items():
            inception = kind(style, width, row)
            self.add_module(f"inception{name}", inception)
            width = widths[name] = inception.out_width
        self.aux1 = Head(style, widths["4a"], num_outputs) if auxiliary else None
        self.aux2 = Head(style, widths["4d"], num_outputs) if auxiliary else None
        self.dropout = nn.Dropout(style.dropout)
        self.fc = nn.Linear(width, num_outputs)

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        x = self.norm(self.maxpool1(self.conv1(x)))  # (N, 64, H/4, W/4)
        x = self.maxpool2(self.norm(self.conv3(self.conv2(x))))  # (N, 192, H/8, W/8)
        x = self.maxpool3(self.through(x, "3a", "3b"))  # (N, 480, H/16, W/16)
        early = self.through(x, "4a")
        late = self.through(early, "4b", "4c", "4d")
        x = self.maxpool4(self.through(late, "4e"))  # (N, 832, H/32, W/32)
        x = F.adaptive_avg_pool2d(self.through(x, "5a", "5b"), 1).flatten(1)  # → (N, 1024)
        logits = self.fc(self.dropout(x))
        if not self.training or self.aux1 is None or self.aux2 is None:
            return logits  # type: ignore[no-any-return]
        return {"output": logits, "aux1": self.aux1(early), "aux2": self.aux2(late)}

    def through(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = self.get_submodule(f"inception{name}")(x)
        return x


def build(options: GoogLeNetOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> GoogLeNet:
    return GoogLeNet(in_channels, num_outputs, options.variant, options.module, options.auxiliary)
