"""LeNet for colour images: two times (5×5 convolution, ReLU, 2×2 max-pool), then 120 → ReLU → 84 → ReLU → classes.

After LeNet-5 (LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, 1998), in the
form that tutorials teach: ReLU in place of the scaled tanh, max-pooling in place of trained subsampling, a full second
convolution, and a linear output in place of the radial basis functions. With 32×32 colour images: 32 → 28 → 14 → 10 →
5, so 400 = 16·5·5 features reach the first linear layer, and with 10 classes there are 62,006 parameters.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.api import Options


class LeNet(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W), H and W at least 16."""

    def __init__(self, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        height, width = (((side - 4) // 2 - 4) // 2 for side in image_size)  # a 5×5 convolution takes 4, a pool halves
        self.conv1 = nn.Conv2d(in_channels, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * height * width, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        # The largest of rectified values is the largest one, rectified: so there are a quarter as many to rectify.
        x = F.max_pool2d(self.conv1(x), 2).relu()
        x = F.max_pool2d(self.conv2(x), 2).relu()
        x = x.flatten(1)  # (N, 16, h, w) → (N, 16·h·w)
        x = self.fc1(x).relu()
        x = self.fc2(x).relu()
        return self.fc3(x)  # type: ignore[no-any-return]


def build(options: Options, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> LeNet:
    return LeNet(in_channels, num_outputs, image_size)
