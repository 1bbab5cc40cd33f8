"""A convolutional network that learns small grayscale images in one epoch: three convolutions with batch norm, and one
linear layer.

With 28×28 images and 16 feature maps: 28 → 24 → 12 (5×5, pool) → 10 → 5 (3×3, pool) → 3 (3×3), so the linear layer
has 576 = 64·3·3 inputs, and with 10 classes the network has 29,434 parameters. A step costs 0.86 million
multiply-accumulates an image, half of them in the second convolution.

Max-pooling comes before batch norm and ReLU: these then work on a quarter of the values.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo_classics.options import CNNBatchNormOptions


class CNNBatchNorm(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W), H and W at least 20."""

    def __init__(self, in_channels: int, num_outputs: int, image_size: tuple[int, int], width: int = 16) -> None:
        super().__init__()
        # a 5×5 convolution takes 4 pixels, a 3×3 one 2, and a pool halves
        height, breadth = (((side - 4) // 2 - 2) // 2 - 2 for side in image_size)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, width, kernel_size=5, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, kernel_size=3, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, kernel_size=3, bias=False),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(4 * width * height * breadth, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x).flatten(1)  # (N, 4F, h, w) → (N, 4F·h·w)
        return self.classifier(x)  # type: ignore[no-any-return]


def build(
    options: CNNBatchNormOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]
) -> CNNBatchNorm:
    return CNNBatchNorm(in_channels, num_outputs, image_size, options.width)
