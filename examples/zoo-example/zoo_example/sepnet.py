"""A small network of depthwise-separable convolutions: a 3×3 convolution for each channel by itself, then a 1×1 that
mixes them.

A. Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017,
https://arxiv.org/abs/1704.04861. Of the paper's 13 blocks there are `blocks` here, for small images.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo_example.options import SepNetOptions


class SepNet(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W) of any size."""

    def __init__(self, in_channels: int, num_outputs: int, width: int, blocks: int) -> None:
        super().__init__()
        self.stem = _convolution(in_channels, width, kernel=3, stride=2)
        self.blocks = nn.Sequential(
            *(_separable(width * 2**index, width * 2 ** (index + 1)) for index in range(blocks))
        )
        self.head = nn.Linear(width * 2**blocks, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        x = x.mean((2, 3))  # (N, F, h, w) → (N, F)
        return self.head(x)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU; keeps height and width at stride 1."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        _convolution(inputs, inputs, kernel=3, stride=2, groups=inputs), _convolution(inputs, outputs, kernel=1)
    )


def build(options: SepNetOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> SepNet:
    """The target of the spec; the image's size does not matter to this network."""
    del image_size
    return SepNet(in_channels, num_outputs, options.width, options.blocks)
