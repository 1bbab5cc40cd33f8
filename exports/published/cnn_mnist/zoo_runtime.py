"""Decode images, prepare them for an exported model, and turn its outputs into predictions, with numpy and Pillow.

It needs Python 3.8, numpy 1.21 and Pillow 9.1, or newer ones. It opens no model format: `main`, the command line of a
bundle's ``predict.py``, is given a function that does. Every file that it loads must have the sha256 that the
bundle.json beside it gives. Exit codes: 2 for a wrong command line, 3 for an image, 4 for the model, 6 for what is
installed, 7 for the disk.

It imports nothing of zoo. A bundle has all of it in one file, ``zoo_runtime.py``, and zoo itself prepares images with
these same functions, so that the preprocessing of training and of deployment cannot differ.

An image file becomes the network's input thus: the first frame, turned upright by its EXIF orientation; grey of more
than 8 bits brought to 8; transparency laid over white; converted to grey or RGB (CMYK and palettes too); scaled with
antialiased interpolation, first along its width, then along its height, its aspect kept, until it covers height ×
width, or its shorter side is ``scale``, and cropped at the centre (or squashed to that size, whatever its aspect, or
cropped unscaled, with black where it is too small: as the model was trained); its pixels permuted where the model was
trained so; divided by 255, minus mean, over std.

The decision in the model's description says how its outputs become an answer: a class (softmax), labels (sigmoid),
numbers with units (affine), a class for each pixel (pixel_argmax), a vector of length 1 (embedding), or the values as
they are (raw).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import logging
import math
import os
import re
import stat
import struct
import sys
import tempfile
import unicodedata
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from itertools import count as count_from
from pathlib import Path
from typing import Any, NamedTuple


# The oldest versions of Python and of packages that a bundle's client works with. -------------------------------------


try:
    import numpy as np
    import PIL.Image
except ImportError as error:
    if __name__ != "zoo_runtime":  # its name in a bundle
        raise
    print(f"error: {error}; fix: pip install numpy pillow", file=sys.stderr)
    sys.exit(6)

OLDEST: dict[str, tuple[int, ...]] = {"python": (3, 8), "numpy": (1, 21), "pillow": (9, 1)}
"""The oldest versions that a client works with, which it is tested with; it refuses older ones."""


class SetupError(RuntimeError):
    """A Python, a package or a machine that the model cannot run on."""


def refuse_older(versions: dict[str, str], required: dict[str, tuple[int, ...]] = OLDEST) -> None:
    """Raises SetupError for the first of these versions, by name, that is older than the one in ``required``."""
    for name, version in versions.items():
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < required[name]:
            oldest = ".".join(map(str, required[name]))
            fix = f"use Python {oldest} or newer" if name == "python" else f"pip install '{name}>={oldest}'"
            raise SetupError(f"{name} {version} is too old for predict.py, which needs {oldest}; fix: {fix}")


if __name__ == "zoo_runtime":  # before names are used that older versions do not have
    try:
        refuse_older({"python": sys.version, "numpy": np.__version__, "pillow": PIL.__version__})
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(6)


import numpy as np
from PIL import Image, UnidentifiedImageError


# From an image file to its upright pixels of 8 bits. ------------------------------------------------------------------


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


# Find image files. ----------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """Image files, and how many others were passed over in folders."""

    files: list[Path]
    hidden: int
    others: int

    @property
    def skipped(self) -> str:
        """What was passed over, in words; empty where nothing was."""
        counts = ", ".join(
            f"{count} {what}" for count, what in ((self.hidden, "hidden"), (self.others, "non-image")) if count
        )
        return counts and f"skipped files: {counts}"


def find_images(paths: Iterable[Path]) -> Found:
    """Files as they are, folders by their images (sorted, with subfolders).

    Raises ValueError where nothing is there.
    """
    files: list[Path] = []
    hidden = others = 0
    for path in paths:
        if path.is_dir():
            inside = _in_folder(path)
            if not inside.files:
                raise ValueError(f"{path}: no images ({', '.join(SUFFIXES)}) in this folder")
            files += inside.files
            hidden, others = hidden + inside.hidden, others + inside.others
        elif path.exists():
            files.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    return Found(files, hidden, others)


def _in_folder(folder: Path, above: tuple[str, ...] = ()) -> Found:
    """Links are followed, but not in a circle."""
    found: list[Path] = []
    hidden, others, here = 0, 0, os.path.realpath(folder)
    if here in above:
        raise ValueError(f"{folder}: this link leads back to a folder that it is in")
    try:
        with os.scandir(folder) as entries:  # which knows folders without a system call for each
            kinds = {each.name: (folder / each.name if each.is_symlink() else each).is_dir() for each in entries}
    except OSError as error:
        raise ValueError(f"{folder}: the folder cannot be read: {error.strerror}") from error
    for name in sorted(kinds, key=os.path.normcase):
        path = folder / name
        if name.startswith("."):
            hidden += 1
        elif kinds[name]:
            inside = _in_folder(path, (*above, here))
            found, hidden, others = found + inside.files, hidden + inside.hidden, others + inside.others
        elif is_image(path):
            found.append(path)
        else:
            others += 1
    return Found(found, hidden, others)


def is_image(path: Path) -> bool:
    """Whether a file in a folder is taken for an image: by its suffix, damaged ones too; one whose name has no suffix
    by its content.

    (By content alone, raw files of cameras would be: they are TIFF files with a preview in them.)
    """
    if path.suffix or not path.is_file():
        return path.suffix.lower() in SUFFIXES
    try:
        with path.open("rb") as stream, Image.open(stream, formats=FORMATS):
            return True
    except Exception:  # whatever else it is
        return False


# Bring an image of any size to the model's. ---------------------------------------------------------------------------


COVER, SQUASH, CROP = "cover, crop the centre", "squash to the size", "crop the centre, pad with black"
RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def fit(image: Image.Image, spec: dict[str, Any]) -> Image.Image:
    """An image of any size at the model's: by its ``height``, ``width``, ``resize``, ``scale``, ``interpolation`` and
    ``max_pixels``."""
    height, width, scale, resample = spec["height"], spec["width"], spec.get("scale"), RESAMPLING[spec["interpolation"]]
    max_pixels = spec.get("max_pixels", MAX_PIXELS)
    if spec["resize"] == SQUASH:
        return resize(image, (width, height), resample, max_pixels)
    if spec["resize"] == CROP:
        return crop(image, height, width)
    if scale is None:
        return cover(image, height, width, resample, max_pixels)
    return scale_and_crop(image, height, width, scale, resample, max_pixels)


def fit_whole(image: Image.Image, spec: dict[str, Any]) -> Image.Image:
    """An image scaled as by `fit`, with nothing cut off, and no smaller than ``height`` × ``width``: what `fit` crops
    is its centre."""
    height, width, scale, resample = spec["height"], spec["width"], spec.get("scale"), RESAMPLING[spec["interpolation"]]
    if spec["resize"] == SQUASH:
        return fit(image, spec)
    if spec["resize"] == CROP:
        return crop(image, max(height, image.height), max(width, image.width))
    if scale is None:
        factor = max(width / image.width, height / image.height)
        size = (max(width, round(image.width * factor)), max(height, round(image.height * factor)))
    else:
        other = int(scale * max(image.size) / min(image.size))
        size = (scale, other) if image.width <= image.height else (other, scale)
    return resize(image, size, resample, spec.get("max_pixels", MAX_PIXELS))


def resize(
    image: Image.Image, size: tuple[int, int], resample: Image.Resampling, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """The one way to scale an image: along its width, then along its height, rounded to whole values in between.

    Pillow 11 and 12 do so of themselves; 13 may begin with the height, which gives other pixels. Raises
    OutsideLimitError before a step would make more than ``max_pixels``.
    """
    steps = ((size[0], image.height), size)
    for step in steps:
        check_pixels(step, max_pixels, f"{image.width}×{image.height}, which would be scaled to ")
    for step in steps:
        image = image if image.size == step else image.resize(step, resample)
    return image


def cover(
    image: Image.Image,
    height: int,
    width: int,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Scale until ``height`` × ``width`` is covered, aspect kept, and crop at the centre."""
    if image.size == (width, height):
        return image
    scale = max(width / image.width, height / image.height)
    image = resize(
        image, (max(width, round(image.width * scale)), max(height, round(image.height * scale))), resample, max_pixels
    )
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def crop(image: Image.Image, height: int, width: int) -> Image.Image:
    """``height`` × ``width`` at the centre, with black where the image ends before; rounded as torchvision's
    CenterCrop rounds."""
    left, top = (
        round((side - wanted) / 2) if side >= wanted else -((wanted - side) // 2)
        for side, wanted in ((image.width, width), (image.height, height))
    )
    return image.crop((left, top, left + width, top + height))


def scale_and_crop(
    image: Image.Image, height: int, width: int, scale: int, resample: Image.Resampling, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """The shorter side to ``scale``, then ``height`` × ``width`` at the centre; rounded as torchvision's Resize and
    CenterCrop round."""
    short, long = min(image.size), max(image.size)
    other = int(scale * long / short)
    return crop(
        resize(image, (scale, other) if image.width <= image.height else (other, scale), resample, max_pixels),
        height,
        width,
    )


# From an image file to the network's input, and the description of this way as data. ----------------------------------


def to_chw(image: Image.Image) -> np.ndarray:
    """uint8 (C, H, W)."""
    return np.asarray(_to_nchw([image])[0])


def _to_nchw(images: Sequence[Image.Image]) -> np.ndarray:
    """Images of one size and mode as uint8 (N, C, H, W)."""
    pixels = np.frombuffer(b"".join([image.tobytes() for image in images]), np.uint8)
    return pixels.reshape(len(images), images[0].height, images[0].width, -1).transpose(0, 3, 1, 2)


def permutation(seed: int, count: int) -> np.ndarray:
    """The permutation of ``count`` pixels that ``seed`` names; RandomState's stream is frozen by numpy's policy."""
    return np.random.RandomState(seed % 2**32).permutation(count)


def permute(images: np.ndarray, seed: int) -> np.ndarray:
    """Permute the pixels of (N, C, H, W), each channel alike: output pixel i is input pixel permutation[i]."""
    n, c, h, w = images.shape
    return np.ascontiguousarray(images.reshape(n, c, h * w)[:, :, permutation(seed, h * w)]).reshape(n, c, h, w)


def normalise(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """uint8 (N, C, H, W) → float32, (x / 255 - mean) / std a channel."""
    centre, scale = (np.asarray(values, np.float32)[:, None, None] for values in (mean, std))
    return np.asarray((images.astype(np.float32) / np.float32(255) - centre) / scale)


def preprocessing_steps(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """How an image file becomes the input, step by step, as data: for clients in other languages.

    W and H are the sides of the image at that step. docs/bundle-format.md explains each step.
    """
    channels, height, width = spec["channels"], spec["height"], spec["width"]
    steps: list[dict[str, Any]] = [
        {"step": "decode", "frame": 0, "orientation": "exif", "max_pixels": spec.get("max_pixels", MAX_PIXELS)},
        _deep_grey_step(spec.get("value_range")),
        {"step": "flatten_alpha", "background": [255, 255, 255]},
        {"step": "convert", "mode": "L" if channels == 1 else "RGB"},
        *_resize_steps(spec),
    ]
    if spec.get("permute_pixels") is not None:
        order = permutation(spec["permute_pixels"], height * width)
        steps.append({"step": "permute_pixels", "indices": order.tolist()})
    return [
        *steps,
        {"step": "divide", "by": 255, "dtype": "float32"},
        {"step": "normalise", "mean": list(spec["mean"]), "std": list(spec["std"])},
        {"step": "layout", "order": "NCHW", "dtype": "float32"},
    ]


def _deep_grey_step(value_range: Sequence[float] | None) -> dict[str, Any]:
    refused = ["not finite", "outside the range"]
    return {
        "step": "deep_grey_to_8_bits",
        "range": list(value_range) if value_range else {"16-bit": [0, 65535], "other": [0, 255]},
        "formula": "(value - low) * 255 / (high - low)",
        "dtype": "float64",
        "rounding": {"integers": "floor", "floats": "floor(x + 0.5)"},
        "white_is_zero": "255 - value",
        "transparency": "ignored",
        "refuse": refused if value_range else [*refused, "floats, 0 < maximum <= 1"],
    }


def _resize_steps(spec: dict[str, Any]) -> list[dict[str, Any]]:
    height, width, scale = spec["height"], spec["width"], spec.get("scale")
    resize = {
        "step": "resize",
        "filter": spec["interpolation"],
        "antialias": True,
        "passes": ["width", "height"],
        "rounding": "8 bits after each pass",
        "max_pixels": spec.get("max_pixels", MAX_PIXELS),
    }
    centre = {
        "step": "crop",
        "height": height,
        "width": width,
        "offset": "round_half_to_even((side - size) / 2)",
        "padding": {"before": "floor((size - side) / 2)", "value": 0},
    }
    sides = {"width": width, "height": height}
    if spec["resize"] == SQUASH:
        return [{**resize, "policy": "exact", **sides}]
    if spec["resize"] == CROP:
        return [centre]
    if scale is not None:
        longer = "floor(shorter_side * longer / shorter)"
        return [
            {**resize, "policy": "shorter_side", "shorter_side": scale, "longer_side": longer},
            {**centre, "padding": None},
        ]
    factor, rounding = "max(width / W, height / H)", "max(size, round_half_to_even(side * scale))"
    covering = {**resize, "policy": "cover", **sides, "scale": factor, "sides": rounding}
    return [covering, {**centre, "offset": "floor((side - size) / 2)", "padding": None}]


def read_whole(path: Path, spec: dict[str, Any]) -> Image.Image:
    """One file upright at its own size."""
    return read_image(path, spec["channels"], spec.get("max_pixels", MAX_PIXELS), spec.get("value_range"))


def read(path: Path, spec: dict[str, Any]) -> Image.Image:
    """One file at the model's size, by the ``input`` part of its description. Raises ValueError with the reason."""
    return fit(read_whole(path, spec), spec)


def prepare(path: Path, spec: dict[str, Any]) -> np.ndarray:
    """One file as float32 (1, C, H, W), by the ``input`` part of a model's description."""
    return to_input([read(path, spec)], spec)


def to_input(images: Sequence[Image.Image], spec: dict[str, Any]) -> np.ndarray:
    """Images of the model's size as float32 (N, C, H, W)."""
    pixels = _to_nchw(images)
    if spec.get("permute_pixels") is not None:
        pixels = permute(pixels, spec["permute_pixels"])
    return normalise(pixels, spec["mean"], spec["std"])


# Decisions: from a network's outputs to the values that answers are made of. ------------------------------------------


REQUIRED = object()
NAMES = {"softmax": "classes", "sigmoid": "classes", "affine": "names", "pixel_argmax": "classes"}
"""The field with the name of each output, for the kinds of decision that have one."""
FIELDS: dict[str, dict[str, Any]] = {
    "softmax": {"classes": REQUIRED, "temperature": 1.0, "abstain_below": None},
    "sigmoid": {"classes": REQUIRED, "thresholds": REQUIRED},
    "affine": {
        "names": REQUIRED,
        "units": [],
        "scale": REQUIRED,
        "offset": REQUIRED,
        "link": "identity",
        "clip": None,
    },
    "pixel_argmax": {"classes": REQUIRED, "size": "image", "colours": []},
    "embedding": {"gallery": None},
    "raw": {},
}
"""The fields of each kind of decision with their defaults."""
SIDES = {"vector": ("N", "K"), "features": ("N", "D"), "map": ("N", "K", "H", "W")}
"""The shape of each kind of output."""
OUTPUT_KINDS = {
    "softmax": ("vector",),
    "sigmoid": ("vector",),
    "affine": ("vector",),
    "pixel_argmax": ("map",),
    "embedding": ("vector", "features"),
    "raw": ("vector", "features", "map"),
}
"""The kinds of output that each kind of decision can be made on."""


def decision_of(description: dict[str, Any]) -> dict[str, Any]:
    """The decision in a description, complete; a description of format 1 has classes alone, which means softmax."""
    output = description["output"]
    given = output["decision"] if "decision" in output else {"kind": "softmax", "classes": output["classes"]}
    return {**FIELDS[given["kind"]], **given}


def decide(outputs: np.ndarray, decision: dict[str, Any]) -> np.ndarray:
    """The values that answers are made of, a row for each row of a network's outputs.

    softmax and sigmoid: probabilities, float64 (N, K). affine: numbers in their units, float64 (N, K). pixel_argmax:
    the class of each pixel of the network's input, uint8 (N, H, W); where the decision's size is "image", `predict`
    brings them to the size of the image. embedding: float64 (N, D) of length 1, zero vectors stay zero. raw: the
    outputs.
    """
    kind = decision["kind"]
    if kind == "softmax":
        return softmax(outputs, decision.get("temperature", 1.0))
    if kind == "sigmoid":
        return sigmoid(outputs)
    if kind == "affine":
        return affine(outputs, decision)
    if kind == "pixel_argmax":
        return np.asarray(outputs.argmax(axis=1).astype(np.uint8))
    if kind == "embedding":
        return normalise_rows(outputs)
    if kind == "raw":
        return outputs
    raise ValueError(f"decision {kind!r} is not one of {', '.join(FIELDS)}")


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """float64: of a class that is all but impossible, it still tells how much so."""
    exact = logits.astype(np.float64) / temperature
    shifted = np.exp(exact - exact.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def sigmoid(outputs: np.ndarray) -> np.ndarray:
    """float64; the exponential of a negative number alone, which cannot overflow."""
    exact = outputs.astype(np.float64)
    small = np.exp(-np.abs(exact))
    return np.asarray(np.where(exact >= 0, 1, small) / (1 + small))


def affine(outputs: np.ndarray, decision: dict[str, Any]) -> np.ndarray:
    """float64: link(output) · scale + offset, clipped; infinite where the link "exp" is beyond float64."""
    values = linked(outputs, decision) * np.asarray(decision["scale"], np.float64)
    values = values + np.asarray(decision["offset"], np.float64)
    clip = decision.get("clip")
    return values if clip is None else np.clip(values, clip[0], clip[1])


def linked(outputs: np.ndarray, decision: dict[str, Any]) -> np.ndarray:
    """float64: the outputs through the link of an affine decision."""
    exact, link = outputs.astype(np.float64), decision.get("link", "identity")
    if link == "sigmoid":
        return sigmoid(exact)
    with np.errstate(over="ignore"):
        return np.exp(exact) if link == "exp" else exact


def normalise_rows(outputs: np.ndarray) -> np.ndarray:
    """float64, each row divided by its L2 norm; a row of zeros stays one."""
    exact = outputs.astype(np.float64)
    norms = np.sqrt((exact * exact).sum(axis=-1, keepdims=True))
    return np.asarray(exact / np.where(norms > 0, norms, 1))


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask uint8 (H, W) at the width and height ``size``: each pixel has the class of the one that its centre lies
    in.

    In whole numbers: a centre on an edge must not fall to one side here and to the other elsewhere by rounding.
    """
    rows, across = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size[::-1], mask.shape))  # noqa: B905
    return np.asarray(mask[rows][:, across])


def chosen(values: np.ndarray, decision: dict[str, Any]) -> list[int]:
    """The classes in the answer of one image by their index, for softmax (one, or none where it abstains) and
    sigmoid."""
    if decision["kind"] == "sigmoid":
        return [int(index) for index in np.flatnonzero(values >= np.asarray(decision["thresholds"], np.float64))]
    best, least = int(values.argmax()), decision.get("abstain_below")
    return [] if least is not None and values[best] < least else [best]


def top(probabilities: np.ndarray, classes: Sequence[str], count: int) -> list[tuple[str, float]]:
    """The ``count`` classes with the largest probabilities, best first."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(classes[index], float(probabilities[index])) for index in order]


def shares(mask: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """float64 (K,): the share of the pixels of a mask that have each class."""
    return np.asarray(np.bincount(mask.ravel(), minlength=len(classes)) / max(1, mask.size))


# Read bundle.json, and check its own digest. --------------------------------------------------------------------------


INDEX = "bundle.json"
INDEX_BYTES = 64 << 20
SEAL = b'"sha256": "'
"""In a bundle.json of format 3: the sha256 of all bytes before and including this text follows it."""


class ModelError(ValueError):
    """A model that is missing, was altered, cannot be loaded, or does not describe itself."""


def read_index_bytes(folder: Path) -> bytes | None:
    file = folder / INDEX
    if not file.exists():
        return None
    refuse_special(file)
    try:
        with file.open("rb") as stream:
            content = stream.read(INDEX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror or error}") from error
    if len(content) > INDEX_BYTES:
        raise ModelError(f"{file} is damaged: it has more than {INDEX_BYTES:,} bytes")
    return content


def read_index(bundle: Path) -> dict[str, Any]:
    """The content of a bundle's bundle.json. Raises ModelError if it is missing or damaged."""
    content = read_index_bytes(bundle)
    if content is None:
        raise ModelError(f"{bundle / INDEX}: is missing")
    return parse_index(content, bundle / INDEX)


def parse_index(content: bytes, file: Path) -> dict[str, Any]:
    """A bundle.json, checked against the sha256 at its end (format 3). Raises ModelError."""
    try:
        index = json.loads(content.decode("utf-8"))
        sealed = index.get("format", 1) >= 3 or "sha256" in index
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file} is damaged: {error}") from error
    if sealed and sealed_json(content[: content.rfind(SEAL)]) != content:
        raise ModelError(f"{file} was altered: its sha256 is not the one at its end")
    return dict(index)


def sealed_json(head: bytes) -> bytes:
    """The bytes of a JSON object whose last entry is the sha256 of the bytes before it."""
    start = head + SEAL
    return start + hashlib.sha256(start).hexdigest().encode() + b'"\n}\n'


def refuse_special(file: Path) -> None:
    """Reading a named pipe or a device may never end."""
    if not file.is_file():
        raise ModelError(f"{file}: {'is no regular file' if file.exists() else 'is missing'}")


def model_digests(index: dict[str, Any], model: Path) -> dict[str, str]:
    """The sha256 of each file that is loaded for ``model``, its own first; before format 3, weights in a second file
    were not listed."""
    try:
        files, loaded = index["files"], index.get("model_files")
        names = loaded if loaded is not None else [model.name, *({model.name + ".data"} & set(files))]
        found = {str(name): str(files[name]["sha256"]) for name in sorted(names, key=lambda name: name != model.name)}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        missing = isinstance(error, LookupError) and error.args == (model.name,)
        reason = f"it does not name {model.name}" if missing else str(error)
        raise ModelError(f"{model.parent / INDEX} is damaged, or another model's: {reason}") from error
    if model.name not in found:
        raise ModelError(f"{model.parent / INDEX} is damaged, or another model's: it does not name {model.name}")
    strange = [name for name in found if Path(name).name != name]
    if strange:
        raise ModelError(f"{model.parent / INDEX} is damaged: {strange[0]!r} is no file of the bundle")
    return found


# Galleries: the vectors of known images, with which the vector of an image is compared. -------------------------------


VECTORS, NAMES_KEY, LABELS_KEY = "vectors", "names", "labels"
HEADER_BYTES = 100 << 20


class Gallery(NamedTuple):
    """``vectors`` float32 (N, D) of length 1, and the name and label (empty if it has none) of each image."""

    vectors: np.ndarray
    names: list[str]
    labels: list[str]


class Match(NamedTuple):
    """An image of a gallery, and the cosine similarity to it."""

    name: str
    label: str
    similarity: float


def read_gallery(file: Path) -> Gallery:
    """Read a safetensors file with the tensor ``vectors`` and, in its metadata, lists of names and labels as JSON.

    Raises ModelError if it is missing or damaged.
    """
    refuse_special(file)
    content = file.read_bytes()
    try:
        size = int.from_bytes(content[:8], "little")
        if size > HEADER_BYTES:
            raise ValueError(f"its header has {size:,} bytes")
        header = json.loads(content[8 : 8 + size].decode("utf-8"))
        entry, told = header[VECTORS], header["__metadata__"]
        start, end = entry["data_offsets"]
        data = np.frombuffer(content[8 + size + start : 8 + size + end], "<f4")
        vectors = data.reshape(entry["shape"])
        names, labels = json.loads(told[NAMES_KEY]), json.loads(told[LABELS_KEY])
        if entry["dtype"] != "F32" or vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ValueError("its vectors are not finite numbers in rows of float32")
        if not len(vectors) == len(names) == len(labels):
            raise ValueError(f"it has {len(vectors)} vectors, {len(names)} names and {len(labels)} labels")
        if not all(isinstance(text, str) for text in [*names, *labels]):
            raise ValueError("a name or label is no text")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file} is damaged: {error}") from error
    return Gallery(vectors, names, labels)


@lru_cache(maxsize=4)
def opened_gallery(file: str, _size: int, _modified: int) -> Gallery:
    """The gallery of an opened model, read once for as long as the file stays the same."""
    return read_gallery(Path(file))


def closest(values: np.ndarray, gallery: Gallery, count: int) -> list[Match]:
    """The ``count`` images of a gallery that are most similar to a vector (D,) of length 1, best first; equal ones in
    the order of the gallery. Raises ModelError for vectors of another length."""
    if values.size != gallery.vectors.shape[1]:
        raise ModelError(f"the model gives {values.size} values, and its gallery has {gallery.vectors.shape[1]}")
    similarities = gallery.vectors.astype(np.float64) @ values.ravel().astype(np.float64)
    order = np.argsort(-similarities, kind="stable")[:count]
    return [Match(gallery.names[index], gallery.labels[index], float(similarities[index])) for index in order]


def matches(values: np.ndarray, decision: dict[str, Any], count: int) -> list[Match]:
    """The closest images for an embedding whose decision names a gallery; otherwise none."""
    name = decision.get("gallery") if decision["kind"] == "embedding" else None
    if not name:
        return []
    state = Path(name).stat()
    return closest(values, opened_gallery(name, state.st_size, state.st_mtime_ns), count)


def locate_gallery(model: Path, index: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    """The description with the path of the bundle's gallery, whose sha256 must be the one in bundle.json; without a
    bundle.json, there is no gallery. Raises ModelError."""
    output = description["output"]
    name = output.get("decision", {}).get("gallery")
    if name is None:
        return description
    if not index:
        return {**description, "output": {**output, "decision": {**output["decision"], "gallery": None}}}
    file = model.parent / Path(name).name
    refuse_special(file)
    due = index.get("files", {}).get(file.name, {}).get("sha256")
    if hashlib.sha256(file.read_bytes()).hexdigest() != due:
        raise ModelError(
            f"{file}: was altered after it was exported and verified: its sha256 is not the one in {INDEX}"
        )
    return {**description, "output": {**output, "decision": {**output["decision"], "gallery": str(file.resolve())}}}


# The answer for one image as text: a line for people, or cells of a table. --------------------------------------------


UNSEEN, JOINERS = ("Cc", "Cf", "Cs", "Zl", "Zp"), "\u200c\u200d"
NO_ANSWER, NO_LABEL = "no answer", "no label"


def answer_text(values: np.ndarray, decision: dict[str, Any], count: int) -> str:
    """The answer for one image in a line, with at most ``count`` classes, labels, values of a vector, or closest images
    of a gallery with their cosine similarity."""
    kind = decision["kind"]
    if kind == "softmax":
        best = _percentages(top(values, decision["classes"], count))
        return best if chosen(values, decision) else f"{NO_ANSWER} ({best})"
    if kind == "sigmoid":
        return _labels_text(values, decision, count)
    if kind == "affine":
        return ", ".join(
            f"{name} {values[index]:.6g} {unit}".rstrip() for index, (name, unit) in enumerate(_with_units(decision))
        )
    if kind == "pixel_argmax":
        best_shares = top(shares(values, decision["classes"]), decision["classes"], count)
        return _percentages([(name, share) for name, share in best_shares if share > 0])
    found = matches(values, decision, count)
    if found:
        return ", ".join(map(_match_text, found))
    first = ", ".join(f"{float(value):.6g}" for value in values.ravel()[:count])
    return first if values.size <= count else f"{first}, … ({values.size} values)"


def _match_text(found: Match) -> str:
    label = f" ({found.label})" if found.label else ""
    return f"{found.name}{label} {found.similarity:.3f}"


def _labels_text(values: np.ndarray, decision: dict[str, Any], count: int) -> str:
    found = chosen(values, decision)
    if not found:
        return f"{NO_LABEL} ({_percentages(top(values, decision['classes'], count))})"
    best = _percentages(top(values[found], [decision["classes"][index] for index in found], count))
    return best if len(found) <= count else f"{best} and {len(found) - count} more"


def _percentages(pairs: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in pairs)


def _with_units(decision: dict[str, Any]) -> list[tuple[str, str]]:
    """The names of an affine decision, each with its unit, which may be empty."""
    units = decision.get("units")
    return [(name, units[index] if units else "") for index, name in enumerate(decision["names"])]


def columns(decision: dict[str, Any], count: int = 0) -> list[str]:
    """The header of the cells that `cells` gives; ``count`` is the number of values of an embedding or raw output."""
    kind = decision["kind"]
    if kind in ("softmax", "sigmoid"):
        return ["prediction", *(f"p({name})" for name in decision["classes"])]
    if kind == "affine":
        return [f"{name} ({unit})" if unit else name for name, unit in _with_units(decision)]
    if kind == "pixel_argmax":
        return [f"share({name})" for name in decision["classes"]]
    return [f"v{index}" for index in range(count)]


def cells(values: np.ndarray, decision: dict[str, Any], digits: str = ".9g") -> list[str]:
    """The answer for one image as cells of a table; several labels are separated by semicolons. `csv_cell` has not
    been applied."""
    kind = decision["kind"]
    numbers = shares(values, decision["classes"]) if kind == "pixel_argmax" else values.ravel()
    texts = ((f"%{digits} " * numbers.size) % tuple(numbers.astype(np.float64).tolist())).split()
    if kind not in ("softmax", "sigmoid"):
        return texts
    names = [decision["classes"][index] for index in chosen(values, decision)]
    return [";".join(names) if names or kind == "sigmoid" else NO_ANSWER, *texts]


def printable(text: str) -> str:
    r"""One line that is safe on a terminal: characters that steer it or show nothing become escapes, such as
    ``\x1b``."""
    if text.isprintable():  # as most are: none of those characters is
        return text
    return "".join(
        _escape(char) if unicodedata.category(char) in UNSEEN and char not in JOINERS else char for char in text
    )


def _escape(char: str) -> str:
    byte = ord(char) - 0xDC00  # of a file name, which Python holds as a lone surrogate
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else repr(char)[1:-1]


# Write masks as images. -----------------------------------------------------------------------------------------------


def palette_of(decision: dict[str, Any]) -> bytes:
    """768 bytes: red, green and blue of each class. Without colours of their own, those of PASCAL VOC: the bits of the
    class, from the lowest on, are the highest bits of red, green and blue in turn."""
    given = list(decision.get("colours") or [])
    standard = [[sum((index >> 3 * bit + part & 1) << 7 - bit for bit in range(3)) for part in range(3)] for index in
                range(256)]  # fmt: skip
    return bytes(part for colour in (given + standard[len(given) :])[:256] for part in colour)


class MaskFolder:
    """Writes each mask, uint8 (H, W), as ``<name of the image>.mask.png``, a PNG with a palette whose values are the
    classes; a name that is taken by an image before it has a number."""

    def __init__(self, folder: Path, decision: dict[str, Any] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._palette = palette_of(decision or {})
        self._last: dict[str, int] = {}
        self._taken: set[str] = set()

    def name(self, image: Path) -> Path:
        """The file for the mask of the next image."""
        for number in count_from(self._last.get(image.stem, 0) + 1):
            name = f"{image.stem}{'' if number == 1 else f'-{number}'}.mask.png"
            if name not in self._taken:
                break
        self._last[image.stem] = number
        self._taken.add(name)
        return self.folder / name

    def write(self, image: Path, mask: np.ndarray) -> Path:
        file = self.name(image)
        image_of_mask = Image.fromarray(mask)
        image_of_mask.putpalette(self._palette)
        image_of_mask.save(file)
        return file


def write_masks(
    folder: Path, rows: Iterable[tuple[Path, np.ndarray]], decision: dict[str, Any] | None = None
) -> list[Path]:
    """Write the mask of each image (see `MaskFolder`). Returns the files."""
    masks = MaskFolder(folder, decision)
    return [masks.write(path, mask) for path, mask in rows]


# Write tables of predictions as CSV. ----------------------------------------------------------------------------------


def write_csv(file: Path, rows: Iterable[tuple[Path, np.ndarray]], decision: dict[str, Any]) -> None:
    """``rows`` are files with their values by `decide`."""
    refuse_special_table(file)
    rows = list(rows)
    with file.open("w", newline="", encoding="utf-8") as stream:
        stream.write(csv_header(rows[0][1].size if rows else 0, decision) + csv_rows(rows, decision))


def refuse_special_table(file: Path) -> None:
    if file.exists() and not file.is_file():  # opening a named pipe may never end
        raise OSError(f"{file}: is no regular file, and no table is written to it")


def csv_header(count: int, decision: dict[str, Any]) -> str:
    """The first line of a table; ``count`` is the number of values of an embedding or raw output."""
    return csv_lines([["file", *map(csv_cell, columns(decision, count))]])


def csv_rows(rows: Iterable[tuple[Path, np.ndarray]], decision: dict[str, Any]) -> str:
    """A line of a table for each row."""
    named = decision["kind"] in ("softmax", "sigmoid")
    lines = []
    for path, values in rows:
        line = cells(values, decision)
        if named:  # the other cells are numbers, which `csv_cell` leaves as they are
            line[0] = csv_cell(line[0])
        lines.append([csv_cell(str(path)), *line])
    return csv_lines(lines)


def csv_lines(lines: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(lines)
    return stream.getvalue()


def csv_cell(text: str) -> str:
    """A cell of text, behind an apostrophe where a spreadsheet would take it for a formula; a number stays one."""
    if not text.isascii():
        text = re.sub(r"[\ud800-\udfff]", lambda found: printable(found[0]), text)
    if text[:1] not in ("'", "=", "+", "-", "@", "\t", "\r", "\n"):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}" if re.match(r"'*[=+\-@\t\r\n]", text) else text
    return text


@contextmanager
def open_table(
    file: Path | None, decision: dict[str, Any]
) -> Iterator[Callable[[list[tuple[Path, np.ndarray]]], None]]:
    """Gives a function that adds rows to a table, which has the name ``<file>.partial`` until it is complete."""
    if file is None:
        yield lambda _rows: None
        return
    refuse_special_table(file)
    file = Path(os.path.realpath(file))  # a link stays one
    partial_file = file.with_name(f"{file.name}.partial")
    refuse_special_table(partial_file)
    try:
        with partial_file.open("w", newline="", encoding="utf-8") as stream:

            def write(rows: list[tuple[Path, np.ndarray]]) -> None:
                if rows and not stream.tell():
                    stream.write(csv_header(rows[0][1].size, decision))
                stream.write(csv_rows(rows, decision))
                stream.flush()

            yield write
            if not stream.tell():
                stream.write(csv_header(0, decision))
        partial_file.replace(file)
    except BaseException:
        with suppress(OSError):
            partial_file.unlink()
        raise


# Check a model's description, and the shape of its outputs. -----------------------------------------------------------


FORMATS_OF_BUNDLES = (1, 2, 3)


def due_shape(decision: dict[str, Any], output: str | None, inputs: Sequence[int]) -> tuple[int | str, ...]:
    """The shape that the outputs for inputs (N, C, H, W) must have; a letter where any number will do.

    ``output`` is the kind of output in a description of format 2; one of format 1 has a vector.
    """
    sides: dict[str, int] = {"N": inputs[0]}
    if decision["kind"] in NAMES:
        sides["K"] = len(decision[NAMES[decision["kind"]]])
    if decision["kind"] == "pixel_argmax":
        sides.update(H=inputs[2], W=inputs[3])
    return tuple(sides.get(side, side) for side in SIDES[output if output in SIDES else "vector"])


def has_shape(shape: Sequence[int], due: Sequence[int | str]) -> bool:
    return len(shape) == len(due) and all(
        isinstance(due[axis], str) or side == due[axis] for axis, side in enumerate(shape)
    )


def wrong_shape(shape: Sequence[int], due: Sequence[int | str], decision: dict[str, Any]) -> str:
    """What is wrong with outputs that do not have the shape `due_shape` gives, in words."""
    field = NAMES.get(decision["kind"])
    names = "" if field is None else f" ({len(decision[field])} {field})"
    wanted = ", ".join(map(str, due))
    return f"it gives {tuple(shape)} where ({wanted}) is due for the decision {decision['kind']}{names}"


def check_description(description: dict[str, Any]) -> None:
    """Raises ValueError, LookupError or TypeError unless all of it can be followed: a field that says what is not done
    here is refused."""
    spec, output = description["input"], description["output"]
    if description.get("format", 1) not in FORMATS_OF_BUNDLES:
        raise ValueError(f"format {description['format']!r} is not one of {', '.join(map(str, FORMATS_OF_BUNDLES))}")
    due = {
        "layout": ("NCHW",),
        "dtype": ("float32",),
        "range": ([0, 1],),
        "channels": (1, 3),
        "resize": (COVER, SQUASH, CROP),
    }
    due.update({"channel_order": ("grey",) if spec["channels"] == 1 else ("RGB",), "interpolation": tuple(RESAMPLING)})
    for field, known in due.items():
        if (field in spec or field in ("channels", "resize", "interpolation")) and spec[field] not in known:
            raise ValueError(f"{field} {spec[field]!r} is not one of {', '.join(map(str, known))}")
    for field in ("height", "width", "scale", "permute_pixels", "batch"):
        value, optional = spec.get(field), field not in ("height", "width")
        least, most = (0, 2**63) if field == "permute_pixels" else (1, 2**16)
        if not (value is None and optional) and not (isinstance(value, int) and least <= value < most):
            raise ValueError(f"{field} {value!r} is no whole number from {least} to {most - 1}")
    if ("steps" in spec or description.get("format", 1) >= 3) and spec.get("steps") != preprocessing_steps(spec):
        raise ValueError("its preprocessing steps are not those of its other fields")
    limit, span = spec.get("max_pixels", MAX_PIXELS), spec.get("value_range")
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"max_pixels {limit!r} is no whole number of at least 1")
    if span is not None and not (
        len(span) == 2 and np.isfinite(np.asarray(span, np.float64)).all() and span[0] < span[1]
    ):
        raise ValueError(f"value_range {span!r} is not two rising numbers")
    for field in ("mean", "std"):
        values = np.asarray(spec[field], np.float64)
        if (
            values.shape != (spec["channels"],)
            or not np.isfinite(values).all()
            or (field == "std" and not (values > 0).all())
        ):
            raise ValueError(f"{field} {spec[field]!r} is not a number for each of {spec['channels']} channels")
    decision = decision_of(description)
    check_decision(decision)
    if "decision" in output and output["kind"] not in OUTPUT_KINDS[decision["kind"]]:
        kinds = ", ".join(OUTPUT_KINDS[decision["kind"]])
        raise ValueError(f"output {output['kind']!r} is not one of {kinds}, which {decision['kind']} is made on")
    if decision["kind"] == "pixel_argmax" and spec.get("permute_pixels") is not None:
        raise ValueError("permuted pixels have no masks")


def check_decision(decision: dict[str, Any]) -> None:
    """Raises ValueError, LookupError or TypeError unless a complete decision (see `decision_of`) can be carried out."""
    kind = decision["kind"]
    unknown = sorted(set(decision) - {"kind", *FIELDS[kind]})
    if unknown:  # it would change the answer, and it is not known how
        raise ValueError(f"{kind} has the unknown field {unknown[0]!r}")
    missing = [field for field, value in decision.items() if value is REQUIRED]
    if missing:
        raise ValueError(f"{kind} has no {missing[0]}")
    names = decision[NAMES[kind]] if kind in NAMES else []
    if kind in NAMES and not (names and _is_list(names, lambda name: isinstance(name, str))):
        raise ValueError(f"it names no {NAMES[kind]}")
    for field, (count, known) in _field_checks(kind, len(names)).items():
        values = decision[field] if count is not None else [decision[field]]
        if not _is_list(values, known) or (count is not None and len(values) not in count):
            raise ValueError(
                f"{field} {decision[field]!r} is not what {kind} with {len(names)} {NAMES.get(kind)} needs"
            )
    clip = decision.get("clip")
    if clip is not None and not clip[0] < clip[1]:
        raise ValueError(f"clip {clip!r} is not two rising numbers")
    if kind == "pixel_argmax" and len(names) > 256:
        raise ValueError(f"{len(names)} classes are more than the 256 that a mask can hold")


def _field_checks(kind: str, names: int) -> dict[str, tuple[tuple[int, ...] | None, Callable[[Any], bool]]]:
    """How many values each field of a decision may have (None: it is no list), and what each of them must be."""
    checks: dict[str, dict[str, tuple[tuple[int, ...] | None, Callable[[Any], bool]]]] = {
        "softmax": {
            "temperature": (None, lambda value: _is_finite(value) and value > 0),
            "abstain_below": (None, lambda value: value is None or (_is_finite(value) and 0 < value <= 1)),
        },
        "sigmoid": {"thresholds": ((names,), lambda value: _is_finite(value) and 0 <= value <= 1)},
        "affine": {
            "units": ((0, names), lambda value: isinstance(value, str)),
            "scale": ((names,), _is_finite),
            "offset": ((names,), _is_finite),
            "link": (None, lambda value: value in ("identity", "exp", "sigmoid")),
            "clip": (None, lambda value: value is None or (_is_list(value, _is_finite) and len(value) == 2)),
        },
        "pixel_argmax": {
            "size": (None, lambda value: value in ("input", "image")),
            "colours": ((0, names), _is_colour),
        },
        "embedding": {"gallery": (None, lambda value: value is None or isinstance(value, str))},
    }
    return checks.get(kind, {})


def _is_colour(value: Any) -> bool:
    return _is_list(value, lambda part: isinstance(part, int) and 0 <= part <= 255) and len(value) == 3


def _is_list(values: Any, known: Callable[[Any], bool]) -> bool:
    return isinstance(values, (list, tuple)) and all(map(known, values))


def _is_finite(value: Any) -> bool:
    """Compared and not converted: an integer in JSON may be too large for a float."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e300 < value < 1e300


# Open a model whose files have the digests in its bundle.json, also while the bundle is being replaced. ---------------


METADATA_KEY = "zoo"
INPUT, OUTPUT = "input", "output"
"""The names of the images and of the main output in a runner."""
ATTEMPTS = 10
"""Times a bundle that is being replaced is read anew."""


class Model(NamedTuple):
    """An opened model: ``run`` gives the main output for inputs float32 (N, C, H, W); ``description`` says how images
    become inputs and outputs predictions; ``runner`` is what ``load`` returned."""

    run: Callable[[np.ndarray], np.ndarray]
    description: dict[str, Any]
    runner: Any


def open_model(model: Path, load: Callable[[Path], Any], note: Callable[[str], None] | None = None) -> Model:
    """Open an exported file with ``load``, a function that returns a runner for a path (`zoo.api.Runner`).

    The outputs have the shape that the decision in the description needs (see `due_shape`).

    Every file that is loaded has the sha256 that the bundle.json beside it gives. A model without a bundle.json is
    loaded unchecked, with the description that it carries, and ``note`` is called with a sentence that says so
    (default: print to stderr). Raises ModelError, or SetupError.
    """
    model = Path(model)
    runner, index = _open_checked(model, load, note or _to_stderr)
    try:
        description = _description(model, runner, index)
        check_description(description)
        description = locate_gallery(model, index, description)
        decision, output = decision_of(description), description["output"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{model}: its description is damaged: {error}") from error

    def run(inputs: np.ndarray) -> np.ndarray:
        try:
            outputs = np.asarray(runner({INPUT: inputs})[OUTPUT])
        except Exception as error:
            raise ModelError(
                f"{model}: it cannot be run on inputs of the shape {inputs.shape}: {_one_line(error)}"
            ) from error
        due = due_shape(decision, output.get("kind"), inputs.shape)
        if not has_shape(outputs.shape, due):
            raise ModelError(f"{model}: {wrong_shape(outputs.shape, due, decision)}")
        return outputs

    return Model(run, description, runner)


def _description(model: Path, runner: Any, index: dict[str, Any]) -> dict[str, Any]:
    """From bundle.json, and from the model's metadata if there is none."""
    if "description" in index:
        return dict(index["description"])
    text = runner.metadata.get(METADATA_KEY)
    if text is None:
        raise ModelError(f"{model}: it has no '{METADATA_KEY}' metadata, so the preprocessing of images is unknown")
    return dict(json.loads(text))


class _MovedError(ModelError):
    """Files that changed while they were read; they are read again."""


def _open_checked(model: Path, load: Callable[[Path], Any], note: Callable[[str], None]) -> tuple[Any, dict[str, Any]]:
    """The runner, and the content of bundle.json, empty without one.

    If the bundle is replaced while it is read, it is read again: the complete old or the complete new one is loaded.
    """
    for attempt in range(ATTEMPTS):
        state = file_state(model.parent / INDEX)
        content = read_index_bytes(model.parent)
        try:
            if content is not None:
                index = parse_index(content, model.parent / INDEX)
                return _load_checked(model, model_digests(index, model), load), index
            runner = _load(model, load)
        except Exception as error:  # whatever a runtime raises for a file that goes while it reads it
            last = attempt + 1 == ATTEMPTS or not isinstance(error, _MovedError)
            if last and file_state(model.parent / INDEX) == state:
                raise
            continue
        if read_index_bytes(model.parent) is None:
            note(f"no {INDEX} lies beside {model}, so whether it was altered is not checked")
            return runner, {}
    raise ModelError(f"{model}: the bundle is replaced again and again while it is read")


def file_state(path: Path) -> tuple[int, ...] | None:
    """What differs once a file was replaced, also by one of the same content; None where it is missing."""
    try:
        return _state(path.stat())
    except OSError:
        return None


def _load_checked(model: Path, digests: dict[str, str], load: Callable[[Path], Any]) -> Any:
    """A runner of files whose digests are right, and which were the same files before and after they were loaded."""
    for name in digests:
        refuse_special(model.with_name(name))
    try:
        if any(_hidden(model.with_name(name), due).is_file() for name, due in digests.items()):
            return _load_copies(model, digests, load)
        files = [model.with_name(name) for name in digests]
        before = {file: _hash_file(file, digests[file.name]) for file in files}
        runner = _load(model, load)
        changed = [file for file, state in before.items() if _state(file.stat()) != state]
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise ModelError(
            f"{error.filename or model}: "
            f"{'is missing' if missing else 'cannot be read: ' + str(error.strerror or error)}"
        ) from error
    if changed:
        runner.close()
        raise _MovedError(f"{changed[0]}: was altered while it was loaded")
    return runner


def _hidden(file: Path, due: str) -> Path:
    """Where a file of a bundle lies for a moment while the bundle is being replaced."""
    return file.with_name(f".{file.name}.{due[:16]}")


def _load_copies(model: Path, digests: dict[str, str], load: Callable[[Path], Any]) -> Any:
    """A runner of copies, while the bundle is being replaced and its files have two places."""
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        for name, due in digests.items():
            Path(folder, name).write_bytes(_read_checked(model.with_name(name), due))
        return _load(Path(folder, model.name), load)


def _read_checked(file: Path, due: str) -> bytes:
    """The bytes with this sha256, from either place."""
    for place in (_hidden(file, due), file):  # in this order, since the first takes the name of the second
        try:
            content = place.read_bytes() if place.is_file() else b""
        except FileNotFoundError:
            continue
        if hashlib.sha256(content).hexdigest() == due:
            return content
    raise _altered(file)


def _hash_file(file: Path, due: str) -> tuple[int, ...]:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        state = _state(os.fstat(stream.fileno()))
        for block in iter(partial(stream.read, 1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != due:
        raise _altered(file)
    return state


def _state(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _altered(file: Path) -> ModelError:
    return ModelError(f"{file}: was altered after it was exported and verified: its sha256 is not the one in {INDEX}")


def _load(model: Path, load: Callable[[Path], Any]) -> Any:
    refuse_special(model)
    return load(model)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _to_stderr(text: str) -> None:
    print(f"note: {printable(text)}", file=sys.stderr)


# Batches of images that a model is called with. -----------------------------------------------------------------------


BATCH = 32
"""The images of a batch, if the model has no fixed batch size."""


def run_filled(run: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, spec: dict[str, Any]) -> np.ndarray:
    """The outputs for inputs of at most one batch."""
    fixed, count = spec.get("batch"), len(inputs)
    if fixed and count < fixed:  # a file with a fixed batch takes no fewer
        inputs = np.concatenate([inputs, np.zeros((fixed - count, *inputs.shape[1:]), np.float32)])
    return run(inputs)[:count]


# Masks of large images: windows of the model's size are slid over the whole image. ------------------------------------


MOST_OVERLAP = 0.9
"""Of windows, as a share of the window."""


def check_window(window: float, decision: dict[str, Any]) -> None:
    """Raises ValueError for an overlap of windows that is no share, or a decision without masks."""
    if decision["kind"] != "pixel_argmax":
        raise ValueError(f"windows need a model that gives masks, and the decision is {decision['kind']}")
    if not 0 <= window <= MOST_OVERLAP:
        raise ValueError(f"the overlap of windows is {window:g}, not a share from 0 to {MOST_OVERLAP}")


def window_mask(run: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, description: dict[str, Any]) -> np.ndarray:
    """The class of each pixel, uint8 (H, W), of an image uint8 (C, H, W) no smaller than the network's input.

    Where windows overlap, their outputs are added up, weighted by the distance to the border of the window, because
    near it the network sees less of the surroundings. Only as many rows of outputs are held as a window has.
    """
    spec, names = description["input"], decision_of(description)["classes"]
    height, width = spec["height"], spec["width"]
    sides = zip(pixels.shape[1:], (height, width))  # noqa: B905
    tops, lefts = (window_starts(side, size, description["window"]) for side, size in sides)
    down, across = (np.minimum(np.arange(n) + 1, n - np.arange(n)) for n in (height, width))
    weights = np.minimum.outer(down, across).astype(np.float32)
    mask = np.empty(pixels.shape[1:], np.uint8)
    outputs = np.zeros((len(names), height, pixels.shape[2]), np.float32)
    size = spec.get("batch") or BATCH
    for top, following in zip(tops, [*tops[1:], pixels.shape[1]]):  # noqa: B905
        for start in range(0, len(lefts), size):
            places = lefts[start : start + size]
            windows = np.stack([pixels[:, top : top + height, left : left + width] for left in places])
            inputs = normalise(windows, spec["mean"], spec["std"])
            for left, found in zip(places, run_filled(run, inputs, spec)):  # noqa: B905
                outputs[:, :, left : left + width] += found * weights
        done = following - top
        mask[top:following] = outputs[:, :done].argmax(axis=0)
        outputs = np.concatenate([outputs[:, done:], np.zeros_like(outputs[:, :done])], axis=1)
    return mask


def window_starts(side: int, size: int, overlap: float) -> list[int]:
    """Where windows of ``size`` pixels begin that cover ``side`` pixels evenly and overlap by at least that share."""
    steps = -(-(side - size) // max(1, int(size * (1 - overlap))))
    return [(side - size) * step // steps for step in range(steps + 1)] if steps else [0]


# Predict many files: other threads decode the next ones while the model runs. -----------------------------------------


CHUNK = 8
"""The most images that one call in a thread decodes."""
THREADS = 8
"""The most threads that decode images: each may hold one of ``max_pixels``."""


def predict(
    run: Callable[[np.ndarray], np.ndarray],
    description: dict[str, Any],
    files: Sequence[Path],
    failures: list[tuple[Path, str]] | None = None,
) -> Iterator[tuple[Path, np.ndarray]]:
    """Each file with its values by `decide`, in order; ``run`` gives the outputs of the described model.

    The masks of a decision pixel_argmax have the size of the network's input. Where the decision's size is "image" and
    images are squashed, they have the size of the upright image, each pixel the class of the nearest one; with any
    other way to resize, a part of the image may lie outside of the input, and they keep the input's size.

    A file that cannot be read is added to ``failures`` with the reason, and left out; without ``failures``, raises
    ValueError naming it.
    """
    for batch in predict_batches(run, description, split_files(files, description)):
        for file, error in batch.failures:
            if failures is None:
                raise ValueError(f"{file}: {error}") from error
            failures.append((file, str(error)))
        yield from batch.rows


class Batch(NamedTuple):
    """Files that were predicted together: the values of each (see `predict`), and why the others cannot be read."""

    rows: list[tuple[Path, np.ndarray]]
    failures: list[tuple[Path, ValueError]]


def split_files(files: Sequence[Path], description: dict[str, Any]) -> list[Sequence[Path]]:
    """Files in the groups that are predicted together."""
    size = description["input"].get("batch") or BATCH
    return [files[start : start + size] for start in range(0, len(files), size)]


def predict_batches(
    run: Callable[[np.ndarray], np.ndarray],
    description: dict[str, Any],
    groups: Sequence[Sequence[Path]],
    threads: int | None = None,
) -> Generator[Batch, None, None]:
    """The predictions of each group of files (see `split_files`), in order.

    ``run`` is called in the calling thread while other threads (by default one for each core, at most `THREADS`)
    decode the next files, about one group ahead for each four threads; no more images are held.
    """
    if description.get("window") is not None:
        for files in groups:
            yield _predict_windows(run, description, files)
        return
    threads = threads or min(_cores(), THREADS)
    most = max(map(len, groups), default=0)
    size = max(1, min(CHUNK, -(-most // (2 * threads)))) if len(groups) == 1 else CHUNK
    ahead = 1 + -(-threads // max(1, most // size))
    due: deque[tuple[Sequence[Path], list[Future[Chunk]]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for number in range(len(groups) + ahead):
            if number < len(groups):
                files = groups[number]
                chunks = [files[start : start + size] for start in range(0, len(files), size)]
                due.append((files, [pool.submit(prepare_chunk, chunk, description["input"]) for chunk in chunks]))
            if number >= ahead and due:
                files, futures = due.popleft()
                yield _predict_group(run, description, files, [future.result() for future in futures])
    finally:
        for _, futures in due:
            for future in futures:
                future.cancel()
        pool.shutdown()


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Chunk(NamedTuple):
    """The inputs for the files that can be read, float32 (N, C, H, W), and the size of each image, or its error."""

    inputs: np.ndarray | None
    found: list[tuple[int, int] | ValueError]


def prepare_chunk(files: Sequence[Path], spec: dict[str, Any]) -> Chunk:
    images: list[Image.Image] = []
    found: list[tuple[int, int] | ValueError] = []
    for file in files:
        try:
            image = read_whole(file, spec)
            images.append(fit(image, spec))
            found.append(image.size)
        except ValueError as error:
            found.append(error)
    return Chunk(to_input(images, spec) if images else None, found)


def _predict_group(
    run: Callable[[np.ndarray], np.ndarray], description: dict[str, Any], files: Sequence[Path], chunks: list[Chunk]
) -> Batch:
    spec, decision = description["input"], decision_of(description)
    found = [each for chunk in chunks for each in chunk.found]
    failures = [(file, each) for file, each in zip(files, found) if isinstance(each, ValueError)]  # noqa: B905
    sizes = [(file, each) for file, each in zip(files, found) if isinstance(each, tuple)]  # noqa: B905
    inputs = [chunk.inputs for chunk in chunks if chunk.inputs is not None]
    if not inputs:
        return Batch([], failures)
    values = decide(run_filled(run, np.concatenate(inputs), spec), decision)
    whole = decision["kind"] == "pixel_argmax" and decision["size"] == "image" and spec["resize"] == SQUASH
    rows = [(file, resize_mask(values[i], own) if whole else values[i]) for i, (file, own) in enumerate(sizes)]
    return Batch(rows, failures)


def _predict_windows(
    run: Callable[[np.ndarray], np.ndarray], description: dict[str, Any], files: Sequence[Path]
) -> Batch:
    """Masks of the size of the images, by windows over all of each image; ``description["window"]`` is their overlap,
    as a share of the window."""
    spec, found = description["input"], Batch([], [])
    for file in files:
        try:
            image = read_whole(file, spec)
            whole = fit_whole(image, spec)
        except ValueError as error:
            found.failures.append((file, error))
            continue
        mask = window_mask(run, to_chw(whole), description)
        found.rows.append((file, resize_mask(mask, image.size)))
    return found


# The command line of a bundle's predict.py. ---------------------------------------------------------------------------


def _arguments(model: Path, providers: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Predict images with the exported model beside this file.")
    parser.add_argument("images", nargs="+", type=Path, help="image files, or folders of them")
    parser.add_argument("--model", type=Path, default=model, help=f"default: the {model.name} beside this file")
    parser.add_argument(
        "--top", type=int, default=3, help="classes, matches or values to print for each image (default 3)"
    )
    parser.add_argument(
        "--csv", type=Path, help="also write the answers, with every probability or value, to this file"
    )
    parser.add_argument("--masks", type=Path, help="also write the mask of each image as PNG to this folder")
    parser.add_argument(
        "--window",
        type=float,
        metavar="OVERLAP",
        help="slide the model over the whole of each image, with windows that overlap by this share (such as 0.25)",
    )
    parser.add_argument("--provider", choices=providers, default="cpu", help="what runs the model (default cpu)")
    parser.add_argument("--threads", type=int, help="number of CPU threads (default: the runtime's)")
    parser.add_argument(
        "--max-pixels",
        type=int,
        help="the most pixels that an image may have, as it is and scaled (default: the model's)",
    )
    return parser.parse_args()


def main(load: Callable[[Path, str, int | None], Any], model: Path, providers: Sequence[str] = ("cpu",)) -> int:
    """The command line of a bundle's predict.py; returns its exit code.

    ``load`` opens a path with a provider and a number of threads (None: the default), and returns a runner
    (`zoo.api.Runner`). ``model`` is the file beside predict.py.
    """
    for stream in (sys.stdout, sys.stderr):  # a name that their encoding lacks is shown as an escape, and is no error
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    asked = _arguments(model, providers)
    failures: list[tuple[Path, str]] = []
    try:
        opened = open_model(asked.model, lambda path: load(path, asked.provider, asked.threads))
        description, decision = opened.description, decision_of(opened.description)
        if asked.masks and decision["kind"] != "pixel_argmax":
            raise ModelError(f"{asked.model}: its decision {decision['kind']} gives no masks")
        if asked.window is not None:
            check_window(asked.window, decision)
            description["window"] = asked.window
        if asked.max_pixels is not None:
            description["input"]["max_pixels"] = asked.max_pixels
        found = find_images(asked.images)
        _predict_all(asked, opened, found.files, failures)
    except (ValueError, OSError, SetupError, ImportError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    if found.skipped:
        print(printable(found.skipped), file=sys.stderr)
    for path, reason in failures:
        print(printable(f"error: {path}: {reason}"), file=sys.stderr)
    return 3 if failures else 0


def _predict_all(
    asked: argparse.Namespace, opened: Model, files: Sequence[Path], failures: list[tuple[Path, str]]
) -> None:
    """Print the answers and write the table and masks that were asked for, batch by batch."""
    decision = decision_of(opened.description)
    masks = MaskFolder(asked.masks, decision) if asked.masks else None
    with open_table(asked.csv, decision) as write:
        for batch in predict_batches(opened.run, opened.description, split_files(files, opened.description)):
            write(batch.rows)
            for path, values in batch.rows:
                if masks is not None:
                    masks.write(path, values)
                print(printable(f"{path}: {answer_text(values, decision, asked.top)}"))
            failures += [(path, str(error)) for path, error in batch.failures]


EXIT_CODES = {ModelError: 4, ValueError: 3, SetupError: 6, ImportError: 6, OSError: 7}
