"""What each augmentation can be told. The first field is the main one, which may be written without its name."""

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
    axis: Literal["horizontal", "vertical"] = Field("horizontal", description="horizontal: left and right change sides")


class Shift(Options):
    fraction: Share = Field(0.1, description="largest move, as a share of the side")


class Crop(Options):
    padding: Annotated[int, Field(ge=1)] = Field(4, description="pixels added on each side")
    fill: Literal["black", "reflect"] = Field("black", description="what is added")


class Rotate(Options):
    degrees: Annotated[float, Field(gt=0, le=180)] = Field(15.0, description="largest angle, either way")


class ResizedCrop(Options):
    scale: Range = Field((0.08, 1.0), description="least and largest share of the area")
    ratio: Range = Field((3 / 4, 4 / 3), description="least and largest width over height")


class ColorJitter(Options):
    brightness: Annotated[float, Field(ge=0)] = Field(0.4, description="factors from 1 - x to 1 + x")
    contrast: Annotated[float, Field(ge=0)] = Field(0.4, description="factors from 1 - x to 1 + x")
    saturation: Annotated[float, Field(ge=0)] = Field(0.4, description="factors from 1 - x to 1 + x")
    hue: Annotated[float, Field(ge=0, le=0.5)] = Field(0.0, description="largest turn of the colour circle")


class PCANoise(Options):
    sd: Annotated[float, Field(gt=0)] = Field(0.1, description="standard deviation of the factor of each component")


class Erase(Options):
    p: Share = Field(0.25, description="probability")
    scale: Range = Field((0.02, 0.33), description="least and largest share of the area")
    ratio: Range = Field((0.3, 3.3), description="least and largest height over width")


class TrivialAugment(Options):
    pass
