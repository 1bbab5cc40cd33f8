"""Mask files (PNG), and their alignment with their images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from zoo.contract.targets import Mask
from zoo.runtime import FORMATS, ORIENTATION, TURNS, OutsideLimitError, check_pixels, upright

MODES = ("P", "L", "1")
"""Pillow's names of a palette, and of gray of up to 8 bits."""
DEPTH_AT = 24
"""The offset of the bit depth in a PNG: after the signature, the length and name of the first chunk, and the size."""
GREY_STEPS = {2: 85, 4: 17}
"""The factor by which Pillow multiplies grayscale values of a bit depth, so that white becomes 255."""


class Placement(NamedTuple):
    """The orientation of an image: its upright ``size`` (width, height), and the transposition from the stored to the
    upright image, as entries of Pillow's ``info`` or, for TIFF, as a method."""

    size: tuple[int, int]
    info: Mapping[str, Any] = MappingProxyType({})
    turn: Image.Transpose | None = None

    def upright(self, stored: Image.Image) -> Image.Image:
        """Return an image with the same stored orientation, upright."""
        if self.turn is not None:
            return stored.transpose(self.turn)
        copy = stored.copy()
        copy.info.clear()
        copy.info.update(self.info.items())
        return upright(copy)


def placement_of(file: Path) -> Placement:
    """Return the placement of an image file. Raises ValueError or OSError if it is not an image."""
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


def read_mask(file: Path, max_pixels: int, target: Mask | None = None) -> tuple[Image.Image, bool]:
    """Return the class indices of a PNG as an image of mode L, upright, and whether it has an EXIF orientation.

    They are its values or, if ``target`` has colours, looked up by its colours.

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
    if target is not None and target.colours:
        return Image.fromarray(by_colour(np.asarray(turned.convert("RGB")), target)), turned is not image
    if image.mode not in MODES:
        raise ValueError(
            f"has the mode {image.mode}: a mask must be a palette image or grayscale with up to 8 bits, or its classes "
            "need colours"
        )
    values = np.asarray(turned).astype(np.uint8)
    if image.mode == "L" and depth in GREY_STEPS:
        values //= np.uint8(GREY_STEPS[depth])
    return Image.fromarray(values), turned is not image


def by_colour(colours: np.ndarray, target: Mask) -> np.ndarray:
    """Return the class indices, uint8 (H, W), of colours, uint8 (H, W, 3).

    Raises ValueError with the first pixel whose colour is that of no class.
    """
    codes = _code(colours)
    known = {int(_code(np.array(colour))): index for index, colour in enumerate(target.colours)}
    if target.ignore_colour is not None and target.ignore is not None:
        known[int(_code(np.array(target.ignore_colour)))] = target.ignore
    ordered = np.array(sorted(known))
    place = np.searchsorted(ordered, codes).clip(max=len(ordered) - 1)
    wrong = ordered[place] != codes
    if wrong.any():
        row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
        colour = ", ".join(map(str, colours[row, column]))
        raise ValueError(f"has the colour ({colour}) in row {row}, column {column}, which no class has")
    return np.asarray(np.array([known[code] for code in ordered.tolist()], np.uint8)[place])


def _code(colours: np.ndarray) -> np.ndarray:
    """Return a number for each colour (…, 3)."""
    return np.asarray(colours.astype(np.int64) @ np.array([65536, 256, 1]))


def aligned(mask: Image.Image, turned: bool, placement: Placement) -> Image.Image:
    """Return a mask aligned with its upright image. Raises ValueError if the sizes differ.

    A mask without an EXIF orientation matches the pixels as the image's file stores them, or the upright image if only
    that size fits.
    """
    lying = mask if turned else placement.upright(mask)
    found = next((each for each in (lying, mask) if each.size == placement.size), None)
    if found is None:
        sizes = [f"{height}×{width}" for width, height in (mask.size, placement.size)]
        raise ValueError(f"is {sizes[0]}, but its image is {sizes[1]}")
    return found
