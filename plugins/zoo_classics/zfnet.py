"""ZFNet (Zeiler and Fergus: Visualizing and understanding convolutional networks, ECCV 2014; the winner of 2013).

AlexNet with a first convolution of 7×7 and stride 2 in place of 11×11 and 4, and a stride of 2 in the second: 224 → 110
→ pool 55 → 26 → pool 13 → 13 → 13 → 13 → pool 6 → 4096 → 4096 → 1000; 62,357,608 parameters. ``wide=True`` is the
paper's last variant, with 512, 1024 and 512 filters in layers 3 to 5 (table 3): 107,627,624 parameters. The sides are
the paper's figure 3's, which pools that round up give; the contrast normalisation is AlexNet's. Images of other sizes
are averaged to 6×6 before the linear layers, which changes nothing at 224.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo_classics.alexnet import response_norm
from zoo_classics.options import ZFNetOptions


class ZFNet(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W), H and W at least 47."""

    def __init__(self, in_channels: int, num_outputs: int, wide: bool = False, dropout: float = 0.5) -> None:
        super().__init__()
        third, fourth, fifth = (512, 1024, 512) if wide else (384, 384, 256)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, kernel_size=7, stride=2, padding=1),  # 224 → 110
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # → 55
            response_norm(),
            nn.Conv2d(96, 256, kernel_size=5, stride=2),  # → 26
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # → 13
            response_norm(),
            nn.Conv2d(256, third, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(third, fourth, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(fourth, fifth, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # → 6
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Linear(fifth * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, num_outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        x = x.flatten(1)  # (N, C, 6, 6) → (N, 36·C)
        return self.classifier(x)  # type: ignore[no-any-return]


def build(options: ZFNetOptions, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> ZFNet:
    return ZFNet(in_channels, num_outputs, options.wide, options.dropout)
