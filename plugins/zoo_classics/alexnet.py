"""AlexNet (Krizhevsky, Sutskever, Hinton: ImageNet classification with deep convolutional neural networks, NIPS 2012).

224×224×3 → 55×55×96 → pool 27 → 27×27×256 → pool 13 → 13×13×384 → 13×13×384 → 13×13×256 → pool 6 → 4096 → 4096 → 1000.

The paper's widths, in one tower: 62,378,344 parameters. The paper ran two towers on two GPUs, which saw each other only
in the third convolution and the linear layers; ``groups=2`` has its connections, and 60,965,224 parameters. 94 % of the
parameters are in the linear layers. A padding of 2 makes 224 fit: without it, the paper's own 55 would need 227. Pools
overlap (3×3, stride 2), and local response normalisation follows the first two convolutions. ``variant="torchvision"``
is another, narrower network without that norm (Krizhevsky: One weird trick, 2014): 61,100,840 parameters; torchvision's
weights load. Images of other sizes are averaged to 6×6 before the linear layers, which changes nothing at 224.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from zoo_classics.options import AlexNetOptions


class Style(NamedTuple):
    """Where the paper and torchvision differ."""

    widths: tuple[int, int, int, int, int]
    response_norm: bool


STYLES = {"paper": Style((96, 256, 384, 384, 256), True), "torchvision": Style((64, 192, 384, 256, 256), False)}


class AlexNet(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W), H and W at least 63."""

    def __init__(
        self, in_channels: int, num_outputs: int, variant: str = "paper", groups: int = 1, dropout: float = 0.5
    ) -> None:
        super().__init__()
        style = STYLES[variant]
        first, second, third, fourth, fifth = style.widths
        norm = [response_norm()] if style.response_norm else []
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, first, kernel_size=11, stride=4, padding=2),  # 224 → 55
            nn.ReLU(inplace=True),
            *norm,
            nn.MaxPool2d(kernel_size=3, stride=2),  # → 27
            nn.Conv2d(first, second, kernel_size=5, padding=2, groups=groups),
            nn.ReLU(inplace=True),
            *norm,
            nn.MaxPool2d(kernel_size=3, stride=2),  # → 13
            nn.Conv2d(second, third, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(third, fourth, kernel_size=3, padding=1, groups=groups),
            nn.ReLU(inplace=True),
            nn.Conv2d(fourth, fifth, kernel_size=3, padding=1, groups=groups),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  # → 6
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(fifth * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        x = x.flatten(1)  # (N, 256, 6, 6) → (N, 9216)
        return self.classifier(x)  # type: ignore[no-any-return]


def response_norm() -> nn.LocalResponseNorm:
    """Section 3.3: n = 5, k = 2, α = 1e-4, β = 0.75. torch divides α by n, which the paper does not."""
    return nn.LocalResponseNorm(size=5, alpha=5 * 1e-4, beta=0.75, k=2.0)


def build(options: AlexNetOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> AlexNet:
    return AlexNet(in_channels, num_outputs, options.variant, options.groups, options.dropout)
