"""ResNet (He, Zhang, Ren, Sun: Deep residual learning for image recognition, 2015), 18 to 152 layers.

A block computes relu(x + f(x)); f is two 3×3 convolutions (18, 34) or a bottleneck of 1×1, 3×3, 1×1 (50 and more).
Where the size or the width changes, x goes through a 1×1 convolution (the paper's option B). ``residual=False`` leaves
x out: the plain network the paper compares with, which gets worse with depth where this one gets better (figure 1).
Parameter names are torchvision's, so that its weights load. The 3×3 convolution of a bottleneck has the stride, as in
torchvision and nearly everywhere today (Goyal et al. 2017; half a point better at 50 layers); ``variant="paper"`` gives
it to the 1×1 before it.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo_classics.options import ResNetOptions

LAYERS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Blocks of each stage, by depth."""


class Block(nn.Module):
    """(N, in_width, H, W) → (N, width · expansion, H/stride, W/stride)."""

    expansion = 1

    def __init__(self, in_width: int, width: int, stride: int, residual: bool, variant: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.residual = residual
        self.downsample = projection(in_width, width, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(join(self, x, y))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """(N, in_width, H, W) → (N, 4 · width, H/stride, W/stride)."""

    expansion = 4

    def __init__(self, in_width: int, width: int, stride: int, residual: bool, variant: str) -> None:
        super().__init__()
        first, second = (stride, 1) if variant == "paper" else (1, stride)
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=1, stride=first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=second, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.residual = residual
        self.downsample = projection(in_width, 4 * width, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(join(self, x, y))  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W), H and W at least 32."""

    def __init__(
        self, in_channels: int, num_outputs: int, depth: int, residual: bool = True, variant: str = "torchvision"
    ) -> None:
        super().__init__()
        kind: type[Block | Bottleneck] = Block if depth < 50 else Bottleneck
        self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        counts = LAYERS[depth]
        self.layer1 = stage(kind, 64, 64, counts[0], 1, residual, variant)
        self.layer2 = stage(kind, 64 * kind.expansion, 128, counts[1], 2, residual, variant)
        self.layer3 = stage(kind, 128 * kind.expansion, 256, counts[2], 2, residual, variant)
        self.layer4 = stage(kind, 256 * kind.expansion, 512, counts[3], 2, residual, variant)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * kind.expansion, num_outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")  # the paper's reference 13

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (N, 64, H/4, W/4)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (N, C, H/32, W/32)
        x = self.avgpool(x).flatten(1)  # → (N, C)
        return self.fc(x)  # type: ignore[no-any-return]


def stage(
    kind: type[Block | Bottleneck], in_width: int, width: int, count: int, stride: int, residual: bool, variant: str
) -> nn.Sequential:
    """The blocks of one width; the first of them changes size and width."""
    first = kind(in_width, width, stride, residual, variant)
    return nn.Sequential(first, *(kind(width * kind.expansion, width, 1, residual, variant) for _ in range(count - 1)))


def projection(in_width: int, width: int, stride: int) -> nn.Sequential | None:
    """What brings x to the form of f(x), or None where it has it."""
    if stride == 1 and in_width == width:
        return None
    return nn.Sequential(nn.Conv2d(in_width, width, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(width))


def join(block: Block | Bottleneck, x: Tensor, y: Tensor) -> Tensor:
    if not block.residual:
        return y
    return y + (x if block.downsample is None else block.downsample(x))


def build(
    options: ResNetOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int], depth: int
) -> ResNet:
    return ResNet(in_channels, num_outputs, depth, options.residual, options.variant)
