"""Decision rules: how a network's outputs become a prediction (`Decision`), as data.

A task fits the rule on the validation split, and the run and bundle.json store it. The evaluation on the test split,
the verification of an export and every client apply it. ``zoo.runtime.decide`` is the reference implementation.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoo.contract.base import Frozen
from zoo.contract.targets import Colour


class Softmax(Frozen):
    """The class with the largest probability, softmax(output / temperature); no class if it is below
    ``abstain_below``."""

    kind: Literal["softmax"] = "softmax"
    classes: tuple[str, ...] = Field(min_length=1)
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    abstain_below: float | None = Field(None, gt=0, le=1)


class Sigmoid(Frozen):
    """Every class whose probability, sigmoid(output), is at least its threshold."""

    kind: Literal["sigmoid"] = "sigmoid"
    classes: tuple[str, ...] = Field(min_length=1)
    thresholds: tuple[float, ...]


class Affine(Frozen):
    """Numbers: ``link(output) · scale + offset``, clipped to ``clip`` if given. ``units`` may be empty."""

    kind: Literal["affine"] = "affine"
    names: tuple[str, ...] = Field(min_length=1)
    units: tuple[str, ...] = ()
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    link: Literal["identity", "exp", "sigmoid"] = "identity"
    clip: tuple[float, float] | None = None


class PixelArgmax(Frozen):
    """For each pixel, the class with the largest output. The predicted mask has the ``size`` of the network's input or
    of the original image. Written masks have the ``colours`` of the classes, or a standard palette."""

    kind: Literal["pixel_argmax"] = "pixel_argmax"
    classes: tuple[str, ...] = Field(min_length=1)
    size: Literal["input", "image"] = "image"
    colours: tuple[Colour, ...] = ()


class Embedding(Frozen):
    """L2-normalised features. ``gallery`` names a file of the bundle with the vectors to compare them with."""

    kind: Literal["embedding"] = "embedding"
    gallery: str | None = None


class Raw(Frozen):
    """The network's outputs, unchanged."""

    kind: Literal["raw"] = "raw"


Decision = Annotated[Softmax | Sigmoid | Affine | PixelArgmax | Embedding | Raw, Field(discriminator="kind")]
