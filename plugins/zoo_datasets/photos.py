"""scikit-learn's two sample photographs, as they lie in its package. They have no labels: there is nothing to learn from, and much to look at."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.api import DatasetStore, Part, Split
from zoo.errors import DataError

NAMES = ("china.jpg", "flower.jpg")


class Photos:
    """The implementation of `zoo.api.Dataset`."""

    parts: Mapping[Part, str] = {"predict": "photos"}

    def load(self, split: str) -> Split:
        """uint8 (2, 3, 427, 640)."""
        return Split(self._pictures, None, list(NAMES))

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(self._pictures.tobytes()).hexdigest()

    @cached_property
    def _pictures(self) -> np.ndarray:
        folder = _folder()
        return np.stack([np.asarray(Image.open(folder / name).convert("RGB")).transpose(2, 0, 1) for name in NAMES])


def open_photos(_store: DatasetStore) -> Photos:
    return Photos()


def _folder() -> Path:
    """Where they lie; importing scikit-learn to ask it would take a second or more. Raises DataError."""
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise DataError("the photographs come with scikit-learn, which is not installed", fix="pip install scikit-learn")
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "images"
    missing = [name for name in NAMES if not (folder / name).is_file()]
    if missing:
        raise DataError(f"scikit-learn's {missing[0]} is not where it is expected", where=folder, fix="reinstall scikit-learn")
    return folder
