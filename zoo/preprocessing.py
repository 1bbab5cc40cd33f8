"""How a picture becomes a network's input: one description, kept with every run and written into every export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from zoo.api import ArchitectureSpec
from zoo.config import DatasetSection
from zoo.errors import UsageError

if TYPE_CHECKING:
    import numpy as np


class Preprocessing(BaseModel):
    """The deterministic part of the transform; `zoo.runtime` carries it out, here and in every exported bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: Literal[1, 3]
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    permute_pixels: int | None = None
    interpolation: Literal["bilinear"] = "bilinear"
    resize: Literal["cover, crop the centre"] = "cover, crop the centre"

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.channels, self.height, self.width)

    def describe(self) -> dict[str, Any]:
        """The ``input`` part of an exported model's description."""
        return {
            **self.model_dump(mode="json"),
            "layout": "NCHW",
            "channel_order": "grey" if self.channels == 1 else "RGB",
            "range": [0, 1],
            "dtype": "float32",
        }

    def apply(self, images: np.ndarray) -> np.ndarray:
        """uint8 (N, C, h, w) of any size → uint8 (N, channels, height, width), permuted where it says so."""
        from zoo.runtime import permute

        fitted = self._fit(images)
        return fitted if self.permute_pixels is None else permute(fitted, self.permute_pixels)

    def _fit(self, images: np.ndarray) -> np.ndarray:
        if images.shape[1:] == self.shape:
            return images
        import numpy as np
        from PIL import Image

        from zoo.runtime import convert, cover, to_chw

        out = np.empty((len(images), *self.shape), np.uint8)
        for index, image in enumerate(images):
            picture = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
            out[index] = to_chw(cover(convert(picture, self.channels), self.height, self.width))
        return out


def plan(
    section: DatasetSection, shape: tuple[int, int, int], mean: tuple[float, ...], std: tuple[float, ...], architecture: ArchitectureSpec | None
) -> tuple[Preprocessing, str | None]:
    """What is done to pictures of ``shape`` (C, H, W) for an architecture, and a sentence about it where their size changes.

    The one rule: pictures keep their channels, and their size where the network takes it; a network of fixed size gets that size, and one
    with a smallest size gets that where they are smaller. ``resize`` forces another side, or makes a change of size an error.
    """
    channels, height, width = shape
    target = (height, width)
    if isinstance(section.resize, int):
        target = (section.resize, section.resize)
    elif architecture is not None:
        target = _needed(architecture, height, width)
    note = None
    if target != (height, width):
        note = f"pictures are resized from {height}×{width} to {target[0]}×{target[1]}"
    if architecture is not None and _needed(architecture, *target) != target:
        raise UsageError(
            f"{architecture.name} cannot take {target[0]}×{target[1]} pictures: it needs {needs(architecture)}", fix="change dataset.resize"
        )
    if note and section.resize == "never":
        raise UsageError(
            f"the pictures are {height}×{width} and {architecture.name if architecture else 'the network'} needs {target[0]}×{target[1]}",
            where="dataset.resize=never",
            fix="use dataset.resize=auto, or another architecture",
        )
    if channels not in (1, 3):
        raise UsageError(f"pictures with {channels} channels are not supported", fix="use grey (1) or RGB (3) pictures")
    preprocessing = Preprocessing(channels=channels, height=target[0], width=target[1], mean=mean, std=std, permute_pixels=section.permute_pixels)
    return preprocessing, note


def needs(architecture: ArchitectureSpec) -> str:
    """The sizes an architecture takes, in words."""
    if architecture.sizing == "fixed":
        return f"exactly {architecture.input[1]}×{architecture.input[2]}"
    return f"at least {architecture.smallest}×{architecture.smallest}"


def _needed(architecture: ArchitectureSpec, height: int, width: int) -> tuple[int, int]:
    if architecture.sizing == "fixed":
        return architecture.input[1:]
    if min(height, width) >= architecture.smallest:
        return height, width
    scale = architecture.smallest / min(height, width)
    return round(height * scale), round(width * scale)
