"""A client of bundles, written from bundle.json and docs/bundle-format.md alone; it imports nothing of zoo.

It is the independent implementation that predict.py is compared with: a step, field or value that the page does not
name is refused, so that what it needs and bundle.json lacks shows.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

SEAL = b'"sha256": "'
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
DEEP_FORMULA = "(value - low) * 255 / (high - low)"
BATCH = 32


class RefusedBundleError(Exception):
    """A bundle that was altered, or that asks for what the page does not name."""


class RefusedImageError(Exception):
    """An image that the steps refuse."""


class Decoded(NamedTuple):
    """An upright image, its ``file_format``, and whether it is a TIFF in which 0 is white."""

    image: Image.Image
    file_format: str
    white_is_zero: bool


class Answer(NamedTuple):
    """The ``cells`` of a row of the table, and the class of each pixel for pixel_argmax."""

    cells: list[str]
    mask: np.ndarray | None


# ---------------------------------------------------------------------------------------------- bundle.json and files


def read_bundle(folder: Path) -> dict[str, Any]:
    """Return the content of bundle.json, after the seal and the digests of the model's files were checked."""
    content = (folder / "bundle.json").read_bytes()
    head = content[: content.rfind(SEAL)] + SEAL
    if content != head + hashlib.sha256(head).hexdigest().encode() + b'"\n}\n':
        raise RefusedBundleError("the seal is broken")
    index: dict[str, Any] = json.loads(content)
    if index["format"] != 3 or index["description"]["format"] != 3:
        raise RefusedBundleError("another format")
    for name in index["model_files"]:
        loaded = (folder / name).read_bytes()
        if index["files"][name] != {"sha256": hashlib.sha256(loaded).hexdigest(), "size": len(loaded)}:
            raise RefusedBundleError(f"{name} was altered")
    return index


def fields(entry: dict[str, Any], *free: str, **fixed: Any) -> list[Any]:
    """The values of the ``free`` fields. Raises RefusedBundleError for other fields, and for other values of the
    ``fixed`` ones."""
    if set(entry) - {"step", "kind"} != {*free, *fixed}:
        raise RefusedBundleError(f"unknown fields, or missing ones: {entry}")
    for name, value in fixed.items():
        if entry[name] != value:
            raise RefusedBundleError(f"unknown {name} {entry[name]!r}")
    return [entry[name] for name in free]


# ------------------------------------------------------------------------------------------------------------ the steps


def decode(file: Path, step: dict[str, Any]) -> Decoded:
    (most,) = fields(step, "max_pixels", frame=0, orientation="exif")
    try:
        with file.open("rb") as stream, Image.open(stream) as image:
            refuse_large(image.size, most)
            image.load()
            tiff = image.format == "TIFF"
            white_is_zero = tiff and image.tag_v2.get(262) == 0  # type: ignore[attr-defined]
            upright = image.copy() if tiff else ImageOps.exif_transpose(image)  # Pillow turns a TIFF when it loads it
            return Decoded(upright, image.format or "", white_is_zero)
    except OSError as error:
        raise RefusedImageError(str(error)) from error


def refuse_large(size: tuple[int, int], most: int) -> None:
    if size[0] * size[1] > most:
        raise RefusedImageError("too many pixels")


def deep_grey_to_8_bits(decoded: Decoded, step: dict[str, Any]) -> Image.Image:
    span, refused = fields(
        step,
        "range",
        "refuse",
        formula=DEEP_FORMULA,
        dtype="float64",
        rounding={"integers": "floor", "floats": "floor(x + 0.5)"},
        white_is_zero="255 - value",
        transparency="ignored",
    )
    image = decoded.image
    if not (image.mode == "F" or image.mode.startswith("I")):
        return image
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and decoded.file_format == "PNG")
    if isinstance(span, dict):
        span = span["16-bit" if sixteen else "other"]
    low, high = span
    values = np.asarray(image).astype(np.float64)
    refusals = {
        "not finite": not np.isfinite(values).all(),
        "outside the range": bool((values < low).any() or (values > high).any()),
        "floats, 0 < maximum <= 1": image.mode == "F" and 0 < values.max() <= 1,
    }
    for reason in refused:
        if refusals[reason]:
            raise RefusedImageError(reason)
    scaled = (values - low) * 255 / (high - low)
    whole = np.floor(scaled + 0.5 if image.mode == "F" else scaled)
    return Image.fromarray((255 - whole if decoded.white_is_zero else whole).astype(np.uint8))


def flatten_alpha(image: Image.Image, step: dict[str, Any]) -> Image.Image:
    (background,) = fields(step, "background")
    if not image.has_transparency_data:
        return image
    clear = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", clear.size, (*background, 255)), clear)


def convert(image: Image.Image, step: dict[str, Any]) -> Image.Image:
    (mode,) = fields(step, "mode")
    if mode not in ("L", "RGB"):
        raise RefusedBundleError(f"unknown mode {mode!r}")
    return image.convert(mode)


def resize(image: Image.Image, step: dict[str, Any]) -> Image.Image:
    known: dict[str, Any] = {"antialias": True, "passes": ["width", "height"], "rounding": "8 bits after each pass"}
    name, policy = step["filter"], step["policy"]
    across, down = image.size
    if policy == "exact":
        *_, most, width, height = fields(step, "filter", "policy", "max_pixels", "width", "height", **known)
    elif policy == "shorter_side":
        known["longer_side"] = "floor(shorter_side * longer / shorter)"
        *_, most, shorter = fields(step, "filter", "policy", "max_pixels", "shorter_side", **known)
        width, height = (shorter * side // min(across, down) for side in (across, down))
    elif policy == "cover":
        known.update(scale="max(width / W, height / H)", sides="max(size, round_half_to_even(side * scale))")
        *_, most, width, height = fields(step, "filter", "policy", "max_pixels", "width", "height", **known)
        scale = max(width / across, height / down)
        width, height = max(width, round(across * scale)), max(height, round(down * scale))
    else:
        raise RefusedBundleError(f"unknown policy {policy!r}")
    for size in ((width, down), (width, height)):
        refuse_large(size, most)
        image = image.resize(size, FILTERS[name])
    return image


def crop(image: Image.Image, step: dict[str, Any]) -> Image.Image:
    height, width, offset, padding = fields(step, "height", "width", "offset", "padding")
    roundings = {
        "floor((side - size) / 2)": lambda side, size: math.floor((side - size) / 2),
        "round_half_to_even((side - size) / 2)": lambda side, size: round((side - size) / 2),
    }
    if padding not in (None, {"before": "floor((size - side) / 2)", "value": 0}):
        raise RefusedBundleError(f"unknown padding {padding!r}")
    corner = []
    for side, size in ((image.width, width), (image.height, height)):
        if side < size and padding is None:
            raise RefusedBundleError("an image is smaller than its crop")
        corner.append(roundings[offset](side, size) if side >= size else -((size - side) // 2))
    left, top = corner
    return image.crop((left, top, left + width, top + height))  # Pillow: 0 outside of the image


def permute_pixels(image: Image.Image, step: dict[str, Any]) -> np.ndarray:
    (indices,) = fields(step, "indices")
    pixels = np.asarray(image)
    flat = pixels.reshape(len(indices), -1)  # (H·W, C)
    return flat[indices].reshape(pixels.shape)


def divide(image: Image.Image | np.ndarray, step: dict[str, Any]) -> np.ndarray:
    (by,) = fields(step, "by", dtype="float32")
    return np.asarray(image, np.float32) / np.float32(by)


def normalise(pixels: np.ndarray, step: dict[str, Any]) -> np.ndarray:
    mean, std = fields(step, "mean", "std")
    return (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)


def layout(pixels: np.ndarray, step: dict[str, Any]) -> np.ndarray:
    fields(step, order="NCHW", dtype="float32")
    channels_last = pixels if pixels.ndim == 3 else pixels[:, :, None]
    return np.ascontiguousarray(channels_last.transpose(2, 0, 1)[None])


STEPS = {
    step.__name__: step
    for step in (
        decode,
        deep_grey_to_8_bits,
        flatten_alpha,
        convert,
        resize,
        crop,
        permute_pixels,
        divide,
        normalise,
        layout,
    )
}


def prepare(file: Path, steps: Sequence[dict[str, Any]]) -> tuple[np.ndarray, tuple[int, int]]:
    """Return an image as float32 (1, C, H, W), and its upright width and height."""
    value: Any = file
    size = (0, 0)
    for step in steps:
        if step["step"] not in STEPS:
            raise RefusedBundleError(f"unknown step {step['step']!r}")
        value = STEPS[step["step"]](value, step)
        size = value.image.size if step["step"] == "decode" else size
    return value, size
