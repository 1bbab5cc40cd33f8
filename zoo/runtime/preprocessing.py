"""From an image file to the network's input, and the description of this way as data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.runtime.decoding import MAX_PIXELS, read_image
from zoo.runtime.resizing import CROP, SQUASH, fit


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
