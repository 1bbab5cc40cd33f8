"""A mask in a PNG file, and how it lies on its image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from zoo.runtime import FORMATS, ORIENTATION, TURNS, OutsideLimitError, check_pixels, upright

MODES = ("P", "L", "1")
"""Pillow's names of a palette, and of grey of up to 8 bits."""
DEPTH_AT = 24
"""Where a PNG has its bits for each value: behind the signature, the length and the name of its first chunk, and the
sides."""
GREY_STEPS = {2: 85, 4: 17}
"""By the bits of grey: what Pillow multiplies values with, so that white is 255."""


class Placement(NamedTuple):
    """How an image lies: its ``size`` (width, height) upright, and what brings it upright from how it is stored, as the
    entries of Pillow's ``info`` or, of a TIFF, as a transposition."""

    size: tuple[int, int]
    info: Mapping[str, Any] = MappingProxyType({})
    turn: Image.Transpose | None = None

    def upright(self, stored: Image.Image) -> Image.Image:
        """Pixels that are stored as those of the image are, upright."""
        if self.turn is not None:
            return stored.transpose(self.turn)
        copy = stored.copy()
        copy.info.clear()
        copy.info.update(self.info.items())
        return upright(copy)


def placement_of(file: Path) -> Placement:
    """Of an image file. Raises ValueError or OSError where it is none."""
    with file.open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
        turn = None
        if image.format == "TIFF":
            turn = TURNS.get(image.tag_v2.get(ORIENTATION))  # type: ignore[attr-defined]
        if image.format in ("PNG", "TIFF"):
            image.load()  # a PNG may have its EXIF block behind the pixels; Pillow turns a TIFF as it loads it
        info: dict[str, Any] = {key: image.info[key] for key in ("exif", "Raw profile type exif") if key in image.info}
        size = image.size
        if turn is not None:
            return Placement(size, turn=turn)
        lying = Placement((2, 1), info).upright(Image.new("L", (2, 1))).size == (2, 1)
        return Placement(size if lying else (size[1], size[0]), info)


def read_mask(file: Path, max_pixels: int) -> tuple[Image.Image, bool]:
    """The indices of a PNG as an image of mode L, upright by its own EXIF orientation, and whether it has one.

    Raises ValueError with the reason, or OSError.
    """
    if file.exists() and not file.is_file():
        raise ValueError("is no regular file")  # a pipe may never end
    try:
        with file.open("rb") as stream, Image.open(stream, formats=("PNG",)) as image:
            check_pixels(image.size, max_pixels)
            image.load()
            turned = upright(image)
            stream.seek(DEPTH_AT)
            depth = stream.read(1)[0]
    except (OutsideLimitError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise ValueError("is no PNG") from error
    except Exception as error:  # a damaged file can make Pillow's reader raise anything
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        raise ValueError(f"cannot be read: {reason}") from error
    if image.mode not in MODES:
        raise ValueError(f"has the mode {image.mode}: indices of classes are a palette, or grey of up to 8 bits")
    values = np.asarray(turned).astype(np.uint8)
    if image.mode == "L" and depth in GREY_STEPS:
        values //= np.uint8(GREY_STEPS[depth])
    return Image.fromarray(values), turned is not image


def aligned(mask: Image.Image, turned: bool, placement: Placement) -> Image.Image:
    """A mask on its image, upright. Raises ValueError where it has another size.

    A mask without an orientation of its own lies on the pixels as the image's file stores them, or on the upright
    image where it fits that alone.
    """
    lying = mask if turned else placement.upright(mask)
    found = next((each for each in (lying, mask) if each.size == placement.size), None)
    if found is None:
        sizes = [f"{height}×{width}" for width, height in (mask.size, placement.size)]
        raise ValueError(f"is {sizes[0]} and its image {sizes[1]}")
    return found
