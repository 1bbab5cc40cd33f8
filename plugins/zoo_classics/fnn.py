"""A small fully-connected network: C·H·W → hidden → ReLU → hidden → ReLU → classes.

It does not use the positions of pixels, so that a fixed permutation of the pixels does not affect it; compare `CNN`.
With 28×28 grayscale images, 8 hidden units and 10 classes, it has 6,442 parameters.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo_classics.options import FNNOptions


class FNN(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W)."""

    def __init__(self, in_channels: int, num_outputs: int, image_size: tuple[int, int], hidden: int = 8) -> None:
        super().__init__()
        height, width = image_size
        self.fc1 = nn.Linear(in_channels * height * width, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)  # (N, C, H, W) → (N, C·H·W)
        x = self.fc1(x).relu()
        x = self.fc2(x).relu()
        return self.fc3(x)  # type: ignore[no-any-return]


def build(options: FNNOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> FNN:
    return FNN(in_channels, num_outputs, image_size, options.hidden)
