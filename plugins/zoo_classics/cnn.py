"""A small convolutional network: two times (5×5 convolution, ReLU, 2×2 max-pool), then 50 → ReLU → classes.

With 28×28 grayscale images, 6 feature maps and 10 classes: 28 → 24 → 12 → 8 → 4, so the first linear layer has 96 =
6·4·4 inputs, and the network has 6,422 parameters.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from zoo_classics.options import CNNOptions


class CNN(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W), H and W at least 16."""

    def __init__(self, in_channels: int, num_outputs: int, image_size: tuple[int, int], n_features: int = 6) -> None:
        super().__init__()
        height, width = (((side - 4) // 2 - 4) // 2 for side in image_size)  # a 5×5 convolution takes 4, a pool halves
        self.conv1 = nn.Conv2d(in_channels, n_features, kernel_size=5)
        self.conv2 = nn.Conv2d(n_features, n_features, kernel_size=5)
        self.fc1 = nn.Linear(n_features * height * width, 50)
        self.fc2 = nn.Linear(50, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(x).relu(), 2)
        x = F.max_pool2d(self.conv2(x).relu(), 2)
        x = x.flatten(1)  # (N, F, h, w) → (N, F·h·w)
        x = self.fc1(x).relu()
        return self.fc2(x)  # type: ignore[no-any-return]


def build(options: CNNOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> CNN:
    return CNN(in_channels, num_outputs, image_size, options.n_features)
