"""From an image file to its upright pixels of 8 bits."""

from __future__ import annotations

import io
import logging
import math
import os
import stat
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

try:
    from PIL.AvifImagePlugin import SUPPORTED as AVIF  # Pillow 11.3 and later, where it was built so
except ImportError:
    AVIF = False

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", *(("AVIF",) if AVIF else ()))
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
MAX_PIXELS = 100_000_000
SMALL_FILE = 1 << 20
"""The largest size in bytes of a file that is read in one piece."""
PIXELS = 2
"""Version of the way from a file to its pixels: raised when the same file gives other ones, so that none are reused
that were decoded before."""
ORIENTATION = 0x0112
INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""Whole numbers in EXIF: its numbers for their types, and those of struct."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image of each EXIF orientation upright; 1 is upright."""

Image.MAX_IMAGE_PIXELS = None  # the limit is ours (MAX_PIXELS), and it is an error, not a warning
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of metadata that is not used here
logging.getLogger("PIL").addHandler(logging.NullHandler())  # what is wrong with a file is in the error


class OutsideLimitError(ValueError):
    """An image that can be read, and is not taken: it has too many pixels or values outside the range.

    ``option`` is what sets the limit.
    """

    def __init__(self, reason: str, option: str) -> None:
        super().__init__(reason)
        self.option = option


def read_image(
    path: Path, channels: int, max_pixels: int = MAX_PIXELS, value_range: Sequence[float] | None = None
) -> Image.Image:
    """Decode one image file to mode L (1 channel) or RGB (3). Raises ValueError with the reason."""
    size = _size_of(path)
    try:
        content = b"" if size is None or size > SMALL_FILE else _content(path, size)
        # from a stream: given a name, Pillow maps an uncompressed TIFF into memory, and garbles one whose orientation
        # swaps its sides
        with _stream(path, content) as stream, Image.open(stream, formats=FORMATS) as image:
            check_pixels(image.size, max_pixels)
            image.load()
            turned, kind = upright(image), deep_kind(image)
            inverted = kind != "" and image.format == "TIFF" and image.tag_v2.get(262) == 0  # type: ignore[attr-defined]  # (8 bits: by Pillow)
    except (OutsideLimitError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise ValueError("is not an image in a supported format: " + ", ".join(FORMATS)) from error
    except Exception as error:  # a damaged file can make Pillow's readers raise anything
        raise ValueError(
            f"cannot be read: {getattr(error, 'strerror', None) or error or type(error).__name__}"
        ) from error
    return convert(to_8_bits(turned, kind, value_range, inverted) if kind else turned, channels)


def _size_of(path: Path) -> int | None:
    """The bytes of a regular file; None where nothing is. Raises ValueError for anything else."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # opening it says why
        return None
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("is no regular file")  # a pipe may never end
    return found.st_size


def _content(path: Path, size: int) -> bytes:
    """A small file, read at once; empty if it has another size by now."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        content = os.read(descriptor, size + 1)
    finally:
        os.close(descriptor)
    return content if len(content) == size else b""


def _stream(path: Path, content: bytes) -> io.BytesIO | io.BufferedReader:
    """Pillow reads a TIFF from its file, where libtiff does."""
    return path.open("rb") if content[:2] in (b"", b"II", b"MM") else io.BytesIO(content)


def check_pixels(size: tuple[int, int], max_pixels: int, what: str = "") -> None:
    if size[0] * size[1] > max_pixels:
        raise OutsideLimitError(f"is {what}{size[0]}×{size[1]}, more than max_pixels={max_pixels:,}", "max_pixels")


def upright(image: Image.Image) -> Image.Image:
    """A loaded image, turned by its EXIF orientation. (Pillow turns a TIFF by its own tag when it loads it.)"""
    exif = image.info.get("exif")
    if exif is None:  # ImageMagick writes the block into a PNG as text: a name, its length, and hexadecimal digits
        try:
            exif = bytes.fromhex("".join(str(image.info.get("Raw profile type exif", "")).split("\n")[3:]))
        except ValueError:
            exif = b""
    turn = TURNS.get(orientation(exif)) if image.format != "TIFF" else None
    return image if turn is None else image.transpose(turn)


def orientation(exif: bytes) -> int:
    """1 to 8, from the first directory of an EXIF block; 1 where that holds no such whole number.

    No other tag is read, and nothing is written: whatever is wrong with the others, the image is what it is.
    """
    block = exif[6:] if exif.startswith(b"Exif\0\0") else exif
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", block, entry)
            if tag == ORIENTATION and kind in INTEGERS:
                (value,) = struct.unpack_from(order + INTEGERS[kind], block, entry + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:  # the block ends before its directory does
        pass
    return 1


def deep_kind(image: Image.Image) -> str:
    """What the values of an opened image in grey of more than 8 bits are: "16-bit", "32-bit" or "float"; empty for
    others."""
    if image.mode.startswith("I"):  # I;16, I;16B …; before Pillow 10.3, a PNG of 16 bits was I
        return "16-bit" if image.mode != "I" or image.format == "PNG" else "32-bit"
    return "float" if image.mode == "F" else ""


def convert(image: Image.Image, channels: int) -> Image.Image:
    """Any mode of 8 bits to L or RGB, transparency over white."""
    if has_transparency(image):
        clear = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def has_transparency(image: Image.Image) -> bool:
    """As `Image.has_transparency_data`, which Pillow has since 10.1."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return True
    return image.mode == "P" and image.palette is not None and image.palette.mode.endswith("A")


def to_8_bits(image: Image.Image, kind: str, value_range: Sequence[float] | None, inverted: bool) -> Image.Image:
    """Grey of more than 8 bits, its values from low to high as 0 to 255: floats to the nearest (0.5 of 0–1 is 128),
    integers rounded down.

    Without a ``value_range``, 16 bits are 0–65535 (divided by 257, then), others 0–255. Raises ValueError for values
    that are not finite, and OutsideLimitError for those outside the range, or for floats from 0 to 1 without one.
    ``inverted``: the least value is white.
    """
    low, high = value_range or ((0, 65535) if kind == "16-bit" else (0, 255))
    values = np.asarray(image).astype(np.float64)
    least, most = float(values.min()), float(values.max())
    if not (math.isfinite(least) and math.isfinite(most)):
        raise ValueError("has values that are infinite or no numbers (NaN)")
    if least < low or most > high:
        raise OutsideLimitError(
            f"has {kind} values from {least:g} to {most:g}, outside the range {low:g} to {high:g}", "value_range"
        )
    if value_range is None and kind == "float" and 0 < most <= 1:
        raise OutsideLimitError(
            f"has float values from {least:g} to {most:g}, and no value_range says whether 1 is white", "value_range"
        )
    values -= low  # in place: an image of a hundred million values takes enough memory once
    values *= 255
    values /= high - low
    scaled = np.floor(values + 0.5 if kind == "float" else values, out=values).astype(np.uint8)
    return Image.fromarray(255 - scaled if inverted else scaled)
