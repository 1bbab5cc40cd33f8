"""Draw images with the most similar ones of an index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo import runtime
from zoo.reporting import plots
from zoo.support.atomic_files import storage_errors
from zoo.workflows.image_index import Match

SIDE = 160
SPEC = {
    "channels": 3, "height": SIDE, "width": SIDE, "resize": runtime.COVER, "scale": None, "interpolation": "bilinear",
    "max_pixels": runtime.MAX_PIXELS, "value_range": None, "permute_pixels": None,
}  # fmt: skip
DRAWN, LONGEST = 20, 24


def draw(file: Path, found: Sequence[tuple[Path, Sequence[Match]]]) -> None:
    """Draw a row for each image: itself, then its matches with their cosine similarity; those that are gone are
    gray."""
    images, titles = [], []
    for image, matches in found[:DRAWN]:
        images += [_thumbnail(image), *(_thumbnail(match.path) for match in matches)]
        titles += [_short(image), *(f"{match.similarity:.3f} {_short(match.path)}" for match in matches)]
    with storage_errors(file):
        columns = 1 + max(len(matches) for _, matches in found)
        plots.grid(file, np.stack(images), titles, "most similar images, by cosine similarity", columns=columns)


def _thumbnail(file: Path) -> np.ndarray:
    """uint8 (H, W, 3)"""
    try:
        return np.asarray(runtime.read(file, SPEC))
    except (ValueError, OSError):
        return np.full((SIDE, SIDE, 3), 128, np.uint8)


def _short(path: Path) -> str:
    return path.name if len(path.name) <= LONGEST else f"…{path.name[1 - LONGEST :]}"
