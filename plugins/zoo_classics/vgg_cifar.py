"""VGG-11's convolutions with batch norm, for 32×32 images: 64 M 128 M 256 256 M 512 512 M 512 512 M, then one linear
layer.

After Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition" (2014), configuration
A; batch norm after Ioffe and Szegedy (2015). Every convolution is 3×3 with padding 1, M is a 2×2 max-pool. Five pools
leave 512×1×1 of a 32×32 image, so the classifier is 512 → classes (larger images are averaged to that): 9,231,114
parameters with 10 classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.api import Options

LAYERS = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")


class VGGCifar(nn.Module):
    """Logits (N, num_outputs) from images (N, in_channels, H, W), H and W at least 32."""

    def __init__(self, in_channels: int, num_outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for layer in LAYERS:
            if isinstance(layer, int):
                layers += [
                    nn.Conv2d(channels, layer, kernel_size=3, padding=1),
                    nn.BatchNorm2d(layer),
                    nn.ReLU(inplace=True),
                ]
                channels = layer
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (N, C, H, W) → (N, 512, H/32, W/32)
        x = self.pool(x).flatten(1)  # → (N, 512)
        return self.classifier(x)  # type: ignore[no-any-return]


def build(options: Options, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> VGGCifar:
    return VGGCifar(in_channels, num_outputs)
