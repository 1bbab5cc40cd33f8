"""The options of the augmentations. The name of the first option may be omitted, as in ``crop: 4``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from zoo.api import Options

Share = Annotated[float, Field(ge=0, le=1)]


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 < value[0] <= value[1]:
        raise ValueError(f"must be two numbers above 0, the smaller first, not {list(value)}")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]


class Flip(Options):
    p: Share = Field(0.5, description="probability")
    axis: Literal["horizontal", "vertical"] = Field("horizontal", description="horizontal: mirror left and right")


class Shift(Options):
    fraction: Share = Field(0.1, description="maximum shift, relative to the side")


class Crop(Options):
    padding: Annotated[int, Field(ge=1)] = Field(4, description="pixels added on each side")
    fill: Literal["black", "reflect"] = Field("black", description="content of the padding")


class Rotate(Options):
    degrees: Annotated[float, Field(gt=0, le=180)] = Field(
        15.0, description="maximum angle in degrees, in both directions"
    )


class ResizedCrop(Options):
    scale: Range = Field((0.08, 1.0), description="minimum and maximum share of the area")
    ratio: Range = Field((3 / 4, 4 / 3), description="minimum and maximum of width / height")


class ColorJitter(Options):
    brightness: Annotated[float, Field(ge=0)] = Field(0.4, description="factors from 1 - x to 1 + x")
    contrast: Annotated[float, Field(ge=0)] = Field(0.4, description="factors from 1 - x to 1 + x")
    saturation: Annotated[float, Field(ge=0)] = Field(0.4, description="factors from 1 - x to 1 + x")
    hue: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0, description="maximum hue shift, as a fraction of the colour circle"
    )


class PCANoise(Options):
    sd: Annotated[float, Field(gt=0)] = Field(0.1, description="standard deviation of the factor of each component")


class Erase(Options):
    p: Share = Field(0.25, description="probability")
    scale: Range = Field((0.02, 0.33), description="minimum and maximum share of the area")
    ratio: Range = Field((0.3, 3.3), description="minimum and maximum of height / width")


class TrivialAugment(Options):
    pass
