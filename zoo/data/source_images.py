"""Image files at their own sizes, from which random crops are cut: decoded at each use, or once into the cache."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from zoo.data.decoding import image_of
from zoo.data.mask_files import placement_of
from zoo.data.preprocessing import Preprocessing
from zoo.errors import DataError
from zoo.runtime import FORMATS, check_pixels, convert, orientation

REDUCTIONS = (8, 4, 2)
"""The factors by which libjpeg can shrink an image while decoding it (scaling in the frequency domain)."""
KEPT = 2.0
"""A crop from a shrunk JPEG has at least this many times the network's size on each side. Against a crop from the whole
image, values then differ by less than 0.5 of 255 on average (Pillow's ``reducing_gap`` has the same default)."""

View = Callable[[np.ndarray], np.ndarray]
UPRIGHT: Mapping[int, View] = MappingProxyType(
    {
        1: lambda stored: stored,
        2: lambda stored: stored[:, ::-1],
        3: lambda stored: stored[::-1, ::-1],
        4: lambda stored: stored[::-1],
        5: lambda stored: stored.swapaxes(0, 1),
        6: lambda stored: stored[::-1].swapaxes(0, 1),
        7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
        8: lambda stored: stored.swapaxes(0, 1)[::-1],
    }
)
"""The upright view of pixels (h, w, …) by the EXIF orientation of their file."""


class Box(NamedTuple):
    """A part of an upright image, in pixels."""

    left: int
    top: int
    width: int
    height: int


class SourceImages(Protocol):
    """The images of a split. Every method may be called from several threads at once, and raises DataError for a file
    that is no image."""

    def __len__(self) -> int: ...

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of the upright image."""
        ...

    def cut(self, index: int, box: Box) -> np.ndarray:
        """Return the pixels of a box, uint8 (h, w, C), or a smaller version of them that has enough for the network."""
        ...

    def sized(self, index: int) -> np.ndarray:
        """Return the whole image, preprocessed: uint8 (C, H, W) of the network's size."""
        ...


class Header(NamedTuple):
    """What the header of a file says. ``plain``: a JPEG in grey or RGB, which `jpeg_decoder` reads."""

    height: int
    width: int
    turn: int
    plain: bool


class ImageFiles:
    """Image files that are decoded at each use; an implementation of `SourceImages`."""

    def __init__(self, files: Sequence[Path], preprocessing: Preprocessing) -> None:
        self.files, self._preprocessing = files, preprocessing
        self._headers = np.zeros((len(files), 4), np.int32)  # of a million files, too

    def __len__(self) -> int:
        return len(self.files)

    def size(self, index: int) -> tuple[int, int]:
        header = self._header(index)
        return header.height, header.width

    def sized(self, index: int) -> np.ndarray:
        return image_of(self.files[index], self._preprocessing.read)

    def cut(self, index: int, box: Box) -> np.ndarray:
        header, file = self._header(index), self.files[index]
        if header.plain:
            try:
                return self._cut_from_jpeg(file, header, box)
            except (ValueError, OSError, RuntimeError):  # reading it in the usual way says what is wrong
                pass
        pixels = np.asarray(image_of(file, self._preprocessing.read_whole))
        if pixels.shape[:2] != (header.height, header.width):
            raise DataError("this file was changed while it was in use", where=file, fix="start the command again")
        return _part(pixels, box, 1, self._preprocessing.channels)

    def _header(self, index: int) -> Header:
        if not self._headers[index, 0]:
            try:
                found = read_header(self.files[index], self._preprocessing.max_pixels)
            except Exception:  # reading it says what is wrong
                image = image_of(self.files[index], self._preprocessing.read_whole)
                found = Header(image.height, image.width, 1, plain=False)
            self._headers[index] = found
        height, width, turn, plain = self._headers[index].tolist()
        return Header(height, width, turn, bool(plain))

    def _cut_from_jpeg(self, file: Path, header: Header, box: Box) -> np.ndarray:
        """Raises ValueError, OSError or RuntimeError."""
        factor, decode = reduction(box, self._preprocessing.height, self._preprocessing.width), jpeg_decoder()
        if factor == 1 and decode is not None:
            stored = decode(file)
        else:
            with file.open("rb") as stream, Image.open(stream, formats=("JPEG",)) as image:
                whole = image.size
                image.draft(image.mode, (whole[0] // factor, whole[1] // factor))
                stored = np.asarray(image)
                factor = round(whole[0] / image.width)
        upright = UPRIGHT[header.turn](stored)
        if upright.shape[:2] != (-(-header.height // factor), -(-header.width // factor)):
            raise ValueError("the file was changed")
        return _part(upright, box, factor, self._preprocessing.channels)


class DecodedImages:
    """Decoded images, each (h, w, C) uint8 at its own size; an implementation of `SourceImages`."""

    def __init__(self, images: Sequence[np.ndarray], preprocessing: Preprocessing) -> None:
        self._images, self._preprocessing = images, preprocessing

    def __len__(self) -> int:
        return len(self._images)

    def size(self, index: int) -> tuple[int, int]:
        height, width = self._images[index].shape[:2]
        return height, width

    def cut(self, index: int, box: Box) -> np.ndarray:
        return _part(self._images[index], box, 1, self._preprocessing.channels)

    def sized(self, index: int) -> np.ndarray:
        return np.asarray(self._preprocessing.apply(self._images[index].transpose(2, 0, 1)[None])[0])


def read_header(file: Path, max_pixels: int) -> Header:
    """Return the header of an image file. Raises any exception for a file that is no image."""
    if not file.is_file():
        raise ValueError("is no regular file")  # a pipe may never end
    with file.open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
        check_pixels(image.size, max_pixels)
        if image.format == "JPEG":
            turn = orientation(image.info.get("exif", b""))
            width, height = image.size if turn < 5 else image.size[::-1]
            return Header(height, width, turn, plain=image.mode in ("L", "RGB"))
    width, height = placement_of(file).size
    return Header(height, width, 1, plain=False)


def reduction(box: Box, height: int, width: int) -> int:
    """Return the largest factor by which an image may be shrunk before the box is scaled to ``height`` × ``width``."""
    spare = min(box.width / width, box.height / height)
    return next((factor for factor in REDUCTIONS if spare >= KEPT * factor), 1)


@functools.cache
def jpeg_decoder() -> Callable[[Path], np.ndarray] | None:
    """Return torchvision's decoder of JPEG files, uint8 (h, w, C) as stored; None where torchvision has none.

    It gives the same pixels as Pillow in less time, because it uses the same libjpeg-turbo without copying.
    """
    try:
        from torchvision.io import ImageReadMode, decode_jpeg
    except (ImportError, OSError):
        return None

    def decode(file: Path) -> np.ndarray:
        pixels = decode_jpeg(torch.from_numpy(np.fromfile(file, np.uint8)), ImageReadMode.UNCHANGED)
        return np.asarray(pixels.permute(1, 2, 0).numpy())

    return decode


def scaled(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return pixels (h, w, C) scaled to the network's size, uint8 (H, W, C), with antialiasing.

    torch's filter is that of Pillow in `Preprocessing`, and much faster; values differ by at most 1.
    """
    images = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)  # (1, C, h, w), in the channels-last format
    size = (preprocessing.height, preprocessing.width)
    found = F.interpolate(images, size, mode=preprocessing.interpolation, antialias=True)
    return np.asarray(found[0].permute(1, 2, 0).numpy())


def _part(pixels: np.ndarray, box: Box, factor: int, channels: int) -> np.ndarray:
    """Return a copy of the box of upright pixels (h, w) or (h, w, C) that are ``factor`` times smaller than the image,
    as (h', w', channels)."""
    height, width = pixels.shape[:2]
    left, top = min(round(box.left / factor), width - 1), min(round(box.top / factor), height - 1)
    right = max(left + 1, min(round((box.left + box.width) / factor), width))
    bottom = max(top + 1, min(round((box.top + box.height) / factor), height))
    found = np.ascontiguousarray(pixels[top:bottom, left:right])
    if found.ndim == 3 and found.shape[2] == 1:
        found = found[:, :, 0]
    if found.ndim != (2 if channels == 1 else 3):
        found = np.asarray(convert(Image.fromarray(found), channels))
    return found.reshape(*found.shape[:2], channels)
