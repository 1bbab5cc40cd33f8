"""scikit-learn's two sample photographs, read from its package. They have no labels."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.api import Dataset, DatasetStore, Part, Split
from zoo.errors import DataError
from zoo_datasets.options import PhotosOptions

NAMES = ("china.jpg", "flower.jpg")


class Photos(Dataset):
    """The implementation of `zoo.api.Dataset`."""

    parts: Mapping[Part, str] = {"predict": "photos"}

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        self._size = size

    def load(self, split: str) -> Split:
        """uint8 (2, 3, 427, 640), or of the ``size`` (H, W) that was asked for.

        Raises DataError where they are smaller.
        """
        return Split(self._images, None, list(NAMES))

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(self._images.tobytes()).hexdigest()

    @cached_property
    def _images(self) -> np.ndarray:
        folder = _folder()
        images = [np.asarray(Image.open(folder / name).convert("RGB")).transpose(2, 0, 1) for name in NAMES]
        return np.stack(images if self._size is None else [cut_out(image, self._size) for image in images])


def open_photos(options: PhotosOptions, _store: DatasetStore) -> Photos:
    return Photos(options.size)


def cut_out(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(C, h, w) turned to the orientation of ``size`` (H, W) and cropped to it at the centre.

    Raises DataError where it is smaller.
    """
    height, width = size
    lies_across = (image.shape[1] - image.shape[2]) * (height - width) < 0
    turned = np.rot90(image, axes=(1, 2)) if lies_across else image
    _, own_height, own_width = turned.shape
    if own_height < height or own_width < width:
        raise DataError(
            f"photos are {own_height}×{own_width}, too small for a crop of {height}×{width}",
            fix="choose a smaller dataset.size",
        )
    top, left = (own_height - height) // 2, (own_width - width) // 2
    return turned[:, top : top + height, left : left + width]


def _folder() -> Path:
    """Where they lie; importing scikit-learn to ask it would take a second or more. Raises DataError."""
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise DataError(
            "the photographs come with scikit-learn, which is not installed", fix="pip install scikit-learn"
        )
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "images"
    missing = [name for name in NAMES if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"scikit-learn's {missing[0]} is not where it is expected", where=folder, fix="reinstall scikit-learn"
        )
    return folder
