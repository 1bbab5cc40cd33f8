"""Image files at their own sizes, from which random crops are cut: decoded at each use, or once into the cache."""

from __future__ import annotations

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
"""A crop from a shrunk JPEG has at least this many times the network's size on each side. Against the crop from the
whole image, its edges move by at most a quarter of a pixel of the network's input, and values differ by less than 1 of
255 on average. (It is the value that Pillow recommends for `reducing_gap`.)"""

TURNS: Mapping[int, tuple[bool, bool, bool]] = MappingProxyType(
    {
        1: (False, False, False),
        2: (False, True, False),
        3: (True, True, False),
        4: (True, False, False),
        5: (False, False, True),
        6: (True, False, True),
        7: (True, True, True),
        8: (False, True, True),
    }
)
"""What makes the pixels of a file upright, by its EXIF orientation: whether to reverse the rows, whether to reverse the
columns, and whether to exchange both afterwards."""


class Box(NamedTuple):
    """A part of an upright image, in pixels."""

    left: int
    top: int
    width: int
    height: int


def upright(stored: np.ndarray, turn: int) -> np.ndarray:
    """Return the upright view of stored pixels (h, w, …)."""
    rows, columns, exchange = TURNS[turn]
    found = stored[:: -1 if rows else 1, :: -1 if columns else 1]
    return found.swapaxes(0, 1) if exchange else found


def stored_box(box: Box, turn: int, height: int, width: int) -> Box:
    """Return where a box of the upright image is in the pixels that a file stores, which are ``height`` × ``width``."""
    rows, columns, exchange = TURNS[turn]
    left, top, wide, high = (box.top, box.left, box.height, box.width) if exchange else box
    return Box(width - left - wide if columns else left, height - top - high if rows else top, wide, high)


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
    """What the header of a file says. ``turn``: its EXIF orientation. ``plain``: 1 or 3 for a JPEG in gray or RGB,
    which `jpeg_decoder` reads, and otherwise 0."""

    height: int
    width: int
    turn: int = 1
    plain: int = 0


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
            except (ValueError, OSError):  # reading it in the usual way says what is wrong
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
                found = Header(image.height, image.width)
            self._headers[index] = found
        return Header(*self._headers[index].tolist())

    def _cut_from_jpeg(self, file: Path, header: Header, box: Box) -> np.ndarray:
        """Raises ValueError or OSError."""
        factor, decode = reduction(box, self._preprocessing.height, self._preprocessing.width), jpeg_decoder()
        if factor == 1 and decode is not None:
            stored = decode(file.read_bytes(), header.plain)
        else:
            with file.open("rb") as stream, Image.open(stream, formats=("JPEG",)) as image:
                whole = image.size
                image.draft(image.mode, (whole[0] // factor, whole[1] // factor))
                stored = np.asarray(image)
                factor = round(whole[0] / image.width)
        height, width = (header.height, header.width) if header.turn < 5 else (header.width, header.height)
        if stored.shape[:2] != (-(-height // factor), -(-width // factor)):
            raise ValueError("the file was changed")
        part = _part(stored, stored_box(box, header.turn, height, width), factor, self._preprocessing.channels)
        return np.ascontiguousarray(upright(part, header.turn))


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
            return Header(height, width, turn, plain={"L": 1, "RGB": 3}.get(image.mode, 0))
    width, height = placement_of(file).size
    return Header(height, width)


def reduction(box: Box, height: int, width: int) -> int:
    """Return the largest factor by which an image may be shrunk before the box is scaled to ``height`` × ``width``."""
    spare = min(box.width / width, box.height / height)
    return next((factor for factor in REDUCTIONS if spare >= KEPT * factor), 1)


def jpeg_decoder() -> Callable[[bytes, int], np.ndarray] | None:
    """Return simplejpeg's decoder: the content of a JPEG file and 1 (gray) or 3 (RGB) channels → uint8 (h, w, C) as
    stored. None if simplejpeg is not installed.

    It gives the same pixels as Pillow in less time, because it uses the same libjpeg-turbo without copying. Both
    release the GIL. It raises ValueError also for faults that Pillow repairs.
    """
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    return lambda content, channels: np.asarray(decode_jpeg(content, "GRAY" if channels == 1 else "RGB"))


def scaled(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return pixels (h, w, C) scaled to the network's size, uint8 (H, W, C), with antialiasing.

    torch's filter is that of Pillow in `Preprocessing`, and much faster; values differ by at most 1.
    """
    images = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)  # (1, C, h, w), in the channels-last format
    size = (preprocessing.height, preprocessing.width)
    found = F.interpolate(images, size, mode=preprocessing.interpolation, antialias=True)
    return np.asarray(found[0].permute(1, 2, 0).numpy())


def _part(pixels: np.ndarray, box: Box, factor: int, channels: int) -> np.ndarray:
    """Return the box of pixels (h, w) or (h, w, C) that are ``factor`` times smaller than the image, as a writable
    array (h', w', channels)."""
    height, width = pixels.shape[:2]
    left, top = min(round(box.left / factor), width - 1), min(round(box.top / factor), height - 1)
    right = max(left + 1, min(round((box.left + box.width) / factor), width))
    bottom = max(top + 1, min(round((box.top + box.height) / factor), height))
    found = pixels[top:bottom, left:right]
    if found.ndim == 3 and found.shape[2] == 1:
        found = found[:, :, 0]
    if found.ndim != (2 if channels == 1 else 3):
        found = np.asarray(convert(Image.fromarray(np.ascontiguousarray(found)), channels))
    return np.require(found, requirements=["C", "W"]).reshape(*found.shape[:2], channels)
