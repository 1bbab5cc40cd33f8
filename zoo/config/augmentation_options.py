"""The vocabulary of random augmentation: what can be asked for, in which words.

`zoo.data.augmentation` carries it out; this imports no torch.

A specification is a list of steps, taken in order; a step is a name, or a name with its options or its main (first)
one:

    [flip, crop: 4, color_jitter: {brightness: 0.4, hue: 0.1}]

On a command line the brackets may be left out: ``--augment "flip, crop: 4"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from zoo.api import Options
from zoo.errors import ConfigError, UsageError, nearest
from zoo.support.yaml_files import parse_yaml

Share = Annotated[float, Field(ge=0, le=1)]


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 < value[0] <= value[1]:
        raise ValueError(f"must be two numbers above 0, the smaller first, not {list(value)}")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
Step = Options
"""One step with its options; its name is its key in `STEPS`."""


class Flip(Step):
    """Mirror left and right, or top and bottom."""

    p: Share = 0.5
    axis: Literal["horizontal", "vertical"] = "horizontal"


class Shift(Step):
    """Move by whole pixels, up to this share of the side in each direction; what comes in is black."""

    fraction: Share = 0.1


class Crop(Step):
    """Pad every side by so many pixels and cut the old size out at random."""

    padding: Annotated[int, Field(ge=1)] = 4
    fill: Literal["black", "reflect"] = "black"


class Rotate(Step):
    """Turn about the centre by at most so many degrees either way; what comes in is black."""

    degrees: Annotated[float, Field(gt=0, le=180)] = 15.0


class ResizedCrop(Step):
    """Cut out a share of the area at a random aspect ratio, and scale it to the old size (Szegedy et al. 2014)."""

    scale: Range = (0.08, 1.0)
    ratio: Range = (3 / 4, 4 / 3)


class ColorJitter(Step):
    """Change brightness, contrast, saturation (factors from 1 - x to 1 + x) and hue (a turn of ±x of the colour
    circle), in this order."""

    brightness: Annotated[float, Field(ge=0)] = 0.4
    contrast: Annotated[float, Field(ge=0)] = 0.4
    saturation: Annotated[float, Field(ge=0)] = 0.4
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class PCANoise(Step):
    """AlexNet's: along each principal component of the training pixels' colours, add eigenvalue · N(0, sd) (Krizhevsky
    et al. 2012, 4.1)."""

    sd: Annotated[float, Field(gt=0)] = 0.1


class Erase(Step):
    """Paint a random rectangle in the mean colour (random erasing, Zhong et al. 2017)."""

    p: Share = 0.25
    scale: Range = (0.02, 0.33)
    ratio: Range = (0.3, 3.3)


class TrivialAugment(Step):
    """One random operation at one of 31 random strengths a picture (Müller and Hutter 2021, the wide space)."""


STEPS: dict[str, type[Step]] = {
    "flip": Flip,
    "shift": Shift,
    "crop": Crop,
    "rotate": Rotate,
    "resized_crop": ResizedCrop,
    "color_jitter": ColorJitter,
    "pca_noise": PCANoise,
    "erase": Erase,
    "trivial_augment": TrivialAugment,
}


def parse_augment(text: str) -> list[dict[str, dict[str, Any]]]:
    """A specification from a command line, in canonical form. Raises UsageError."""
    try:
        return canonical(text)
    except ValueError as error:
        raise UsageError(f"--augment: {error}", fix='for example --augment "flip, crop: 4"') from error


def canonical(value: Any) -> list[dict[str, dict[str, Any]]]:
    """Any accepted form as a list of ``{name: {every option}}``. Raises ValueError with every problem."""
    if isinstance(value, str):
        inner = value.strip().removeprefix("[").removesuffix("]")
        try:
            value = parse_yaml(f"[{inner}]", where="augment")
        except ConfigError as error:
            raise ValueError(f"'{inner}' is no list of steps: {error}") from error
    if not isinstance(value, Sequence):
        raise ValueError(f"must be a list of steps, not {value!r:.60}")
    problems: list[str] = []
    found = [_step(each, problems) for each in value]
    if problems:
        raise ValueError("; ".join(problems))
    return [{name: step.model_dump(mode="json")} for name, step in found if step is not None]


def build_steps(specification: Sequence[dict[str, dict[str, Any]]]) -> list[Step]:
    """The steps of a canonical specification."""
    return [STEPS[name].model_validate(options) for each in specification for name, options in each.items()]


def _step(value: Any, problems: list[str]) -> tuple[str, Step | None]:
    name, options = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, {})
    if not isinstance(name, str):
        problems.append(f"{value!r:.60} is no step: write a name, or a name with its options")
        return "", None
    if name not in STEPS:
        near = nearest(name, STEPS, count=1)
        problems.append(
            f"no step is called '{name}'; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(STEPS)}")
        )
        return name, None
    model = STEPS[name]
    if not isinstance(options, dict):
        main = next(iter(model.model_fields), None)
        if main is None:
            problems.append(f"{name} has no options")
            return name, None
        options = {main: options}
    try:
        return name, model.model_validate(options)
    except ValidationError as error:
        for fault in error.errors():
            known = (
                f"; it takes: {', '.join(model.model_fields) or 'none'}"
                if fault["type"] == "extra_forbidden"
                else f", not {fault['input']!r:.40}"
            )
            message = (
                fault["msg"]
                .removeprefix("Value error, ")
                .replace("Input should be", "must be")
                .replace("Extra inputs are not permitted", "unknown option")
            )
            problems.append(f"{name}.{'.'.join(map(str, fault['loc']))}: {message}{known}")
        return name, None
