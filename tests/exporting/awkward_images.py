"""Image files on which a client's decoding, alpha, scaling or cropping shows: of every mode and format that is read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

SIZES = {"1x1": (1, 1), "1x300": (1, 300), "500x3": (500, 3), "input": (9, 7), "smaller": (4, 3), "narrower": (6, 20)}
SIZES |= {"half-1": (12, 10), "half-3": (14, 12), "half-5": (16, 14), "exact-double": (18, 14), "portrait": (23, 61)}
"""The networks take 9×7 (width × height): three of these have crops whose corner lies half a pixel off, along both
axes, and alternately round up and down."""
ORIENTATIONS = range(1, 9)


def noise(seed: int, width: int, height: int, channels: int = 3) -> np.ndarray:
    """Smooth patches with noise, uint8 (height, width, channels)."""
    numbers = np.random.default_rng(seed)
    patches = Image.fromarray(numbers.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((width, height))
    smooth = np.asarray(patches).astype(int) + numbers.integers(-70, 71, (height, width, 3))
    colour = np.clip(smooth, 0, 255).astype(np.uint8)
    alpha = numbers.integers(0, 256, (height, width, 1), dtype=np.uint8)
    return np.concatenate([colour, alpha], 2)[..., :channels] if channels > 1 else colour[..., 0]


def write_awkward_images(folder: Path) -> list[Path]:
    """Write all of them; returns the files."""
    folder.mkdir()
    for name, size in SIZES.items():
        Image.fromarray(noise(len(name), *size)).save(folder / f"size-{name}.png")
    modes(folder)
    png_by_hand(folder)
    turned(folder)
    animated(folder)
    deep(folder)
    return sorted(folder.iterdir())


def modes(folder: Path) -> None:
    colour, clear = Image.fromarray(noise(1, 37, 22)), Image.fromarray(noise(2, 21, 33, 4))
    for mode in ("1", "L", "P", "RGB"):
        colour.convert(mode).save(folder / f"mode-{mode}.png")
        colour.convert(mode).save(folder / f"mode-{mode}.bmp")
    for mode in ("LA", "RGBA"):
        clear.convert(mode).save(folder / f"mode-{mode}.png")
        clear.convert(mode).save(folder / f"mode-{mode}.tif")
    for mode in ("CMYK", "YCbCr", "L", "RGB"):
        colour.convert(mode).save(folder / f"mode-{mode}.jpg", quality=90)
    for mode in ("CMYK", "YCbCr", "1", "P"):
        colour.convert(mode).save(folder / f"mode-{mode}.tif")
    palette = colour.convert("P")
    palette.save(folder / "palette-one-clear.png", transparency=3)
    palette.save(folder / "palette-all-half.png", transparency=bytes(index % 256 for index in range(0, 512, 2)))
    cut_out = clear.copy()
    cut_out.putalpha(clear.getchannel("A").point(lambda value: 255 * (value > 99)))
    cut_out.save(folder / "palette-clear.gif")
    colour.save(folder / "key-rgb.png", transparency=colour.getpixel((3, 3)))
    colour.convert("L").save(folder / "key-grey.png", transparency=colour.convert("L").getpixel((3, 3)))
    clear.save(folder / "alpha-lossless.webp", lossless=True)
    clear.save(folder / "alpha-lossy.webp", quality=70)
    colour.save(folder / "progressive.jpg", progressive=True)
    colour.convert("CMYK").save(folder / "progressive-cmyk.jpg", progressive=True)
    colour.convert("L").save(folder / "inverted-8.tif", tiffinfo={262: 0})


def png_by_hand(folder: Path) -> None:
    """PNG files that Pillow reads and does not write: interlaced, and of 16 bits a channel."""
    write_png(folder / "interlaced.png", noise(3, 19, 26), 2, interlaced=True)
    write_png(folder / "interlaced-alpha.png", noise(4, 26, 11, 4), 6, interlaced=True)
    deep_colour = noise(5, 20, 15).astype(np.uint16) * 257 - 100
    write_png(folder / "sixteen-rgb.png", deep_colour, 2)
    deep_grey = noise(6, 17, 24, 1).astype(np.uint16)[..., None] * 201
    write_png(folder / "sixteen-grey.png", deep_grey, 0)
    write_png(folder / "sixteen-grey-key.png", deep_grey, 0, key=int(deep_grey[5, 5, 0]))
    write_png(folder / "sixteen-grey-alpha.png", np.concatenate([deep_grey, deep_grey[::-1]], 2), 4)


def write_png(
    file: Path, pixels: np.ndarray, colour_type: int, *, interlaced: bool = False, key: int | None = None
) -> None:
    """``pixels`` are uint8 or uint16 (H, W, C). https://www.w3.org/TR/png-3/"""
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [pixels[top::down, left::across] for left, top, across, down in passes]
    big_endian = pixels.dtype.newbyteorder(">")
    rows = b"".join(b"\0" + row.astype(big_endian).tobytes() for part in parts if part.size for row in part)
    depth = 8 * pixels.dtype.itemsize
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, colour_type, 0, 0, interlaced)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if key is not None:
        chunks.insert(1, (b"tRNS", struct.pack(">H", key)))
    coded = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(coded))


def turned(folder: Path) -> None:
    image = Image.fromarray(noise(7, 31, 18))
    for orientation in ORIENTATIONS:
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(folder / f"turned-{orientation}.jpg", exif=exif)
        image.save(folder / f"turned-{orientation}.tif", tiffinfo={0x0112: orientation})
    image.save(folder / "turned.png", exif=exif)
    image.save(folder / "turned.webp", exif=exif, lossless=True)
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    text = PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n")  # as ImageMagick writes it
    image.save(folder / "turned-raw-profile.png", pnginfo=text)


def animated(folder: Path) -> None:
    frames = [Image.fromarray(noise(seed, 24, 29)) for seed in (8, 9, 10)]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:], disposal=2)
    clear = [Image.fromarray(noise(seed, 24, 29, 4)) for seed in (8, 9, 10)]
    clear[0].save(folder / "animated-clear.gif", save_all=True, append_images=clear[1:], disposal=2)
    frames[0].save(folder / "animated.webp", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(folder / "pages.tif", save_all=True, append_images=frames[1:])


def deep(folder: Path) -> None:
    """Grey of more than 8 bits. Some are refused, unless the bundle's range has their values."""
    numbers = np.random.default_rng(11)
    sixteen = numbers.integers(0, 65536, (20, 15)).astype(np.uint16)
    Image.fromarray(sixteen).save(folder / "deep-16.tif")
    Image.fromarray(sixteen).save(folder / "deep-16-inverted.tif", tiffinfo={262: 0})
    Image.fromarray(sixteen.astype(">u2")).save(folder / "deep-16-big-endian.tif")
    for name, values in _floats(numbers):
        Image.fromarray(values.astype(np.float32)).save(folder / f"deep-float-{name}.tif")
    Image.fromarray(numbers.integers(0, 256, (13, 22)).astype(np.int32)).save(folder / "deep-32.tif")
    Image.fromarray(numbers.integers(-5, 999, (13, 22)).astype(np.int32)).save(folder / "deep-32-wide.tif")
    Image.fromarray(numbers.uniform(0, 255, (9, 14)).astype(np.float32)).save(
        folder / "deep-float-inverted.tif", tiffinfo=_tags({262: 0})
    )


def _floats(numbers: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    yield "255", numbers.uniform(0, 255, (16, 25))
    yield "halves", numbers.integers(0, 510, (8, 9)) / 2
    yield "1", numbers.uniform(0, 1, (16, 25))
    yield "nan", np.where(numbers.uniform(0, 1, (16, 25)) > 0.9, np.nan, 7)


def _tags(values: dict[int, Any]) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in values.items():
        tags[tag] = value
    return tags
