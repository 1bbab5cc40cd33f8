"""Image files of random patches, on which a wrong preprocessing gives wrong inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SEED = 20_018
SHAPES = {"portrait": (1.3, 2.1), "landscape": (2.3, 1.2), "small": (0.6, 0.4)}
"""Width and height, relative to the network's input."""


def write_images(folder: Path, spec: dict[str, Any]) -> list[Path]:
    """Write images of coloured patches with fine noise, RGB and grayscale, for inputs by ``spec`` (the ``input`` part
    of a description), and one in gray of more than 8 bits.

    Different resizing, cropping or normalisation gives different inputs for them. The random numbers are those of
    `numpy.random.RandomState`, whose stream is frozen.
    """
    numbers = np.random.RandomState(SEED)  # the frozen one
    files = []
    for shape, (across, down) in SHAPES.items():
        size = (max(1, round(across * spec["width"])), max(1, round(down * spec["height"])))
        patches = Image.fromarray(numbers.randint(0, 256, (5, 5, 3)).astype(np.uint8))
        noise = numbers.randint(-60, 61, (size[1], size[0], 3))
        smooth = np.asarray(patches.resize(size, Image.Resampling.BICUBIC))
        colour = Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))
        for mode in ("RGB", "L"):
            files.append(folder / f"{shape}-{mode.lower()}.png")
            colour.convert(mode).save(files[-1])
    return [*files, _deep_image(folder, spec.get("value_range"), np.asarray(colour.convert("L")))]


def _deep_image(folder: Path, value_range: Sequence[float] | None, gray: np.ndarray) -> Path:
    """Write ``gray`` with more than 8 bits, within the value range that the model was trained with."""
    if value_range is None:
        file = folder / "deep-l.png"
        Image.fromarray(gray.astype(np.uint16) * 257).save(file)
        return file
    low, high = value_range
    file = folder / "deep-l.tiff"
    Image.fromarray((low + gray.astype(np.float64) / 255 * (high - low)).astype(np.float32)).save(file)
    return file
