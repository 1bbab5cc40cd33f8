"""Preprocessing: the description of how an image becomes a network's input, stored in every run and every export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from zoo.api import ArchitectureSpec, WeightsSpec
from zoo.config.run_config import MAX_PIXELS, DatasetSection
from zoo.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from PIL import Image


Way = Literal["cover, crop the centre", "squash to the size", "crop the centre, pad with black"]
WAYS: dict[Literal["cover", "squash", "crop"], Way] = {
    "cover": "cover, crop the centre",
    "squash": "squash to the size",
    "crop": "crop the centre, pad with black",
}
"""The resize policies: the configuration's value, and the description's."""


class Preprocessing(BaseModel):
    """The deterministic transform of images; `zoo.runtime` applies it, here and in every exported bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: Literal[1, 3]
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    permute_pixels: int | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    resize: Way = "cover, crop the centre"
    scale: int | None = None
    """The shorter side before the centre crop; None: the smallest size that covers height and width."""
    max_pixels: int = MAX_PIXELS
    """The maximum number of pixels of an image, before and after resizing."""
    value_range: tuple[float, float] | None = None
    """The values of grayscale images with more than 8 bits that become 0 and 255; None without such images."""

    @model_validator(mode="after")
    def _can_be_cut_out(self) -> Self:
        if self.scale is not None and self.resize != "cover, crop the centre":
            raise ValueError("scale is the shorter side before the centre crop: it needs fit=cover")
        if self.scale is not None and self.scale < max(self.height, self.width):
            raise ValueError(
                f"{self.height}×{self.width} cannot be cropped from images whose shorter side is {self.scale}"
            )
        return self

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

    def read(self, file: Path) -> np.ndarray:
        """Return one image as uint8 (channels, height, width). Raises ValueError with the reason, or OSError."""
        from zoo import runtime

        image = runtime.to_chw(runtime.read(file, self.model_dump()))
        return image if self.permute_pixels is None else runtime.permute(image[None], self.permute_pixels)[0]

    def read_whole(self, file: Path) -> Image.Image:
        """Return one image upright at its own size, in the network's channels. Raises ValueError or OSError."""
        from zoo.runtime import read_image

        return read_image(file, self.channels, self.max_pixels, self.value_range)

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 (N, channels, height, width), with permuted pixels if set, for uint8 (N, C, h, w) of any
        size."""
        from zoo.runtime import permute

        fitted = self._fit(images)
        return fitted if self.permute_pixels is None else permute(fitted, self.permute_pixels)

    def _fit(self, images: np.ndarray) -> np.ndarray:
        if images.shape[1:] == self.shape and self.scale is None:
            return images
        import numpy as np
        from PIL import Image

        from zoo.runtime import convert, fit, to_chw

        out = np.empty((len(images), *self.shape), np.uint8)
        spec = self.model_dump()
        for index, image in enumerate(images):
            opened = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
            out[index] = to_chw(fit(convert(opened, self.channels), spec))
        return out


class Learned(Protocol):
    """The preprocessing of trained weights: of an architecture (`zoo.api.WeightsSpec`) or an earlier run
    (`LearnedInRun`)."""

    @property
    def input(self) -> tuple[int, int, int]: ...
    @property
    def mean(self) -> tuple[float, ...]: ...
    @property
    def std(self) -> tuple[float, ...]: ...
    @property
    def resize(self) -> int | None: ...
    @property
    def fit(self) -> Literal["cover", "squash", "crop"]: ...
    @property
    def interpolation(self) -> Literal["bilinear", "bicubic"]: ...


@dataclass(frozen=True)
class LearnedInRun:
    """The preprocessing of a run, as `Learned`."""

    input: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None
    fit: Literal["cover", "squash", "crop"]
    interpolation: Literal["bilinear", "bicubic"]

    @classmethod
    def of(cls, used: Preprocessing) -> LearnedInRun:
        fit = next(name for name, way in WAYS.items() if way == used.resize)
        return cls(used.shape, used.mean, used.std, used.scale, fit, used.interpolation)


DEFAULT_SIDE = 224
"""The size for images of varying size, without an architecture."""
GRAY = (0.299, 0.587, 0.114)
"""The weights of red, green and blue in grayscale: ITU-R 601, as in pillow."""


def plan(
    section: DatasetSection,
    shape: tuple[int, int | None, int | None],
    mean: Sequence[float],
    std: Sequence[float],
    architecture: ArchitectureSpec | None = None,
    weights: Learned | None = None,
) -> tuple[Preprocessing, list[str]]:
    """Return the preprocessing of images of ``shape`` (C, H, W; None for sides that vary) for an architecture, and a
    sentence for each change.

    With trained ``weights``, size, channels, mean and std are those of the weights unless the section sets them.
    Otherwise, images keep their channels and size if the network supports them. They are resized for a network with a
    fixed size, if they are smaller than the network's minimum, and to the network's default size if their sizes vary.
    ``resize`` sets another side length, or makes a change of size an error; ``channels`` sets grayscale or RGB. Raises
    UsageError if the network does not support the images.
    """
    own = (shape[1], shape[2]) if shape[1] is not None and shape[2] is not None else None
    height, width = _plan_size(section, own, architecture, weights)
    channels, channel_note = _plan_channels(section, shape[0], architecture, weights)
    if weights is not None and weights.input[0] == channels:
        mean, std = section.mean or weights.mean, section.std or weights.std
    mean, std = _normalisation(section, len(mean), channels, mean, std)
    how = {} if weights is None else _as_learned(weights, height, width, resized=section.resize == "auto")
    preprocessing = _checked(
        channels=channels,
        height=height,
        width=width,
        mean=tuple(mean),
        std=tuple(std),
        permute_pixels=section.permute_pixels,
        max_pixels=section.max_pixels,
        **{**how, **_as_asked(section)},
    )
    learned = weights is not None and (section.resize, section.fit, section.scale) == ("auto", "auto", None)
    size_note = _size_note(preprocessing, own, learned=learned)
    if size_note is not None and own is None and architecture is None and section.resize == "auto":
        size_note += f"; {DEFAULT_SIDE}×{DEFAULT_SIDE} is the default without a network"
    return preprocessing, [note for note in (size_note, channel_note) if note]


def _checked(**facts: Any) -> Preprocessing:
    try:
        return Preprocessing(**facts)
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise UsageError(
            reason, where="dataset.scale", fix="change dataset.scale, dataset.fit or dataset.resize"
        ) from error


def _as_asked(section: DatasetSection) -> dict[str, Any]:
    """Return the resize options of a section."""
    asked: dict[str, Any] = {} if section.fit == "auto" else {"resize": WAYS[section.fit], "scale": None}
    return asked if section.scale is None else {**asked, "scale": section.scale}


def preprocessing_of(weights: WeightsSpec, permute_pixels: int | None = None) -> Preprocessing:
    """Return the preprocessing of images of any size for these weights."""
    channels, height, width = weights.input
    return Preprocessing(
        channels=3 if channels == 3 else 1,
        height=height,
        width=width,
        mean=weights.mean,
        std=weights.std,
        permute_pixels=permute_pixels,
        **_as_learned(weights, height, width, resized=True),
    )


def _as_learned(weights: Learned, height: int, width: int, *, resized: bool) -> dict[str, Any]:
    """Return the resize options of the weights; at another size than theirs, only the interpolation."""
    learned: dict[str, Any] = {"interpolation": weights.interpolation}
    if resized and (height, width) == weights.input[1:]:
        learned |= {"scale": weights.resize} if weights.fit == "cover" else {"resize": WAYS[weights.fit]}
    return learned


def _plan_size(
    section: DatasetSection, own: tuple[int, int] | None, architecture: ArchitectureSpec | None, weights: Learned | None
) -> tuple[int, int]:
    """Return the size for images of size ``own`` (None if it varies)."""
    if isinstance(section.resize, int):
        target = (section.resize, section.resize)
    elif weights is not None and section.resize == "auto":
        target = weights.input[1:]
    elif own is None:
        target = architecture.input[1:] if architecture is not None else (DEFAULT_SIDE, DEFAULT_SIDE)
    elif architecture is None or (section.resize == "never" and takes(architecture, *own)):
        target = own
    else:
        target = _needed(architecture, *own)
    if architecture is not None and not takes(architecture, *target):
        raise UsageError(
            f"{architecture.name} does not support {target[0]}×{target[1]} images: it needs {needs(architecture)}",
            fix="change dataset.resize",
        )
    if section.resize == "never" and target != own:
        said = "may differ in size" if own is None else f"are {own[0]}×{own[1]}"
        needed, other = "have to be of one size", "a number of pixels"
        if architecture is not None:
            needed, other = f"{architecture.name} needs {target[0]}×{target[1]}", "another architecture"
        raise UsageError(
            f"the images {said}, but {needed}", where="dataset.resize=never", fix=f"use dataset.resize=auto, or {other}"
        )
    return target


def _size_note(preprocessing: Preprocessing, own: tuple[int, int] | None, *, learned: bool) -> str | None:
    """Return a sentence about the resizing, or None if there is none."""
    height, width, scale = preprocessing.height, preprocessing.width, preprocessing.scale
    if own == (height, width) and scale is None:
        return None
    size = f"{height}×{width}"
    if preprocessing.resize == WAYS["crop"]:
        how = f"cropped at the centre to {size} without being resized; smaller ones are padded with black"
    elif preprocessing.resize == WAYS["squash"]:
        how = f"squashed to {size}, ignoring their aspect ratio"
    elif scale is not None:
        how = f"resized to {scale} pixels on their shorter side and cropped at the centre to {size}"
    elif own is not None and own[0] * width == own[1] * height:
        how = f"resized to {size}"
    else:
        how = f"resized, keeping their aspect ratio, and cropped at the centre to {size}"
    which = "images of any size" if own is None else f"{own[0]}×{own[1]} images"
    return f"{which} are {how}{' as for the pretrained weights' if learned else ''}"


def _plan_channels(
    section: DatasetSection, own: int, architecture: ArchitectureSpec | None, weights: Learned | None
) -> tuple[Literal[1, 3], str | None]:
    names: dict[int, str] = {1: "grayscale", 3: "RGB"}
    takes = architecture.channels if architecture is not None else None
    wanted = own if section.channels == "auto" else section.channels
    if section.channels == "auto" and weights is not None:
        wanted = weights.input[0]
    elif section.channels == "auto" and takes is not None and own not in takes:
        wanted = takes[0]
    if takes is not None and wanted not in takes:
        raise UsageError(
            f"{architecture.name if architecture else 'the network'} needs images with {' or '.join(map(str, takes))} "
            f"channels, not {wanted}",
            where="dataset.channels",
            fix="use dataset.channels=auto, or another architecture",
        )
    if own not in names or wanted not in names:
        raise UsageError(f"images with {own} channels are not supported", fix="use grayscale (1) or RGB (3) images")
    note = None if wanted == own else f"{names[own]} images become {names[wanted]}"
    return (3 if wanted == 3 else 1), note


def _normalisation(
    section: DatasetSection, own: int, channels: int, mean: Sequence[float], std: Sequence[float]
) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and std for the final channels: those of the configuration, or the dataset's.

    For grayscale as RGB, the values are repeated three times. For RGB as grayscale, both are weighted means, which for
    the std is exact for perfectly correlated channels; those of photographs nearly are.
    """
    if own != channels:
        mean, std = ((values[0],) * 3 if channels == 3 else (_weighted(values),) for values in (mean, std))
    for name, asked in (("mean", section.mean), ("std", section.std)):
        if asked is not None and len(asked) != channels:
            raise UsageError(
                f"there are {len(asked)} values for {channels} channel(s)",
                where=f"dataset.{name}",
                fix="give one for each channel",
            )
    return section.mean or mean, section.std or std


def _weighted(values: Sequence[float]) -> float:
    return round(sum(share * value for share, value in zip(GRAY, values, strict=True)), 6)


def needs(architecture: ArchitectureSpec) -> str:
    """Return the image sizes that an architecture supports, in words."""
    if architecture.sizing == "fixed":
        return f"exactly {architecture.input[1]}×{architecture.input[2]}"
    multiples = f", in multiples of {architecture.multiple}" if architecture.multiple > 1 else ""
    return f"at least {architecture.smallest}×{architecture.smallest}{multiples}"


def takes(architecture: ArchitectureSpec, height: int, width: int) -> bool:
    """Return whether an architecture can be built for images of that size."""
    if architecture.sizing == "fixed":
        return architecture.input[1:] == (height, width)
    return (
        min(height, width) >= architecture.smallest
        and height % architecture.multiple == 0
        and width % architecture.multiple == 0
    )


def _needed(architecture: ArchitectureSpec, height: int, width: int) -> tuple[int, int]:
    """Return the image size itself, or the next larger one that the architecture supports."""
    if architecture.sizing != "min":
        return architecture.input[1:]
    scale = max(1.0, architecture.smallest / min(height, width))
    return _next_multiple(round(height * scale), architecture.multiple), _next_multiple(
        round(width * scale), architecture.multiple
    )


def _next_multiple(side: int, of: int) -> int:
    return -(-side // of) * of
