"""VGG (Simonyan and Zisserman: Very deep convolutional networks for large-scale image recognition, 2014),
configurations A, B, D and E.

Convolutions of 3×3 with padding 1 alone, five 2×2 max-pools, then 4096 → 4096 → classes with dropout. VGG-16 is
configuration D: 13 convolutions and three linear layers, 138,357,544 parameters. ``batch_norm`` puts batch norm after
every convolution (Ioffe and Szegedy 2015), which the paper did not have. Parameter names are torchvision's, so that its
weights load; its 7×7 average pool before the linear layers changes nothing at 224 and lets images of other sizes in.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo_classics.options import VGGOptions

LAYERS: dict[int, tuple[int, ...]] = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions before each of the five pools, by depth."""
WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W), H and W at least 32."""

    def __init__(
        self, in_channels: int, num_outputs: int, depth: int, batch_norm: bool = False, dropout: float = 0.5
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for count, width in zip(LAYERS[depth], WIDTHS, strict=True):
            for _ in range(count):
                layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
                layers += [nn.BatchNorm2d(width)] if batch_norm else []
                layers.append(nn.ReLU(inplace=True))
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, num_outputs),
        )
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        x = x.flatten(1)  # (N, 512, 7, 7) → (N, 25088)
        return self.classifier(x)  # type: ignore[no-any-return]


def initialise(module: nn.Module) -> None:
    """He et al. 2015 for the convolutions: from the paper's N(0, 0.01) the deeper networks do not start to learn, which
    is why it grew them."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)


def build(options: VGGOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int], depth: int) -> VGG:
    return VGG(in_channels, num_outputs, depth, options.batch_norm, options.dropout)
