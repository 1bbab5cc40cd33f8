"""Masks (a class for each pixel): decode arrays or PNG files into one cached uint8 array of the network's size. Masks
are resized like their images, with nearest-neighbour sampling."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.contract.targets import Mask
from zoo.data import dataset_cache
from zoo.data.decoding import digest_of, each_in_threads, image_of
from zoo.data.mask_files import Placement, aligned, placement_of, read_mask
from zoo.data.preprocessing import WAYS, Preprocessing
from zoo.errors import DataError
from zoo.runtime import PIXELS, cover, crop, permute, resize, scale_and_crop

Images = np.ndarray | Sequence[Path]
"""uint8 (N, C, h, w), or the N files of a split."""
Masks = np.ndarray | Sequence[Path]
"""uint8 (N, h, w), or N PNG files."""

NEAREST = Image.Resampling.NEAREST
FIX = "correct or replace the file; a mask is a PNG of the size of its image, with class indices or colours as values"


@dataclass(frozen=True)
class MaskLoader:
    """Loads the masks of a dataset's splits. ``digest`` returns a file's sha256; ``name`` is the dataset's."""

    target: Mask
    digest: Callable[[Path], str]
    name: str

    def __call__(self, masks: Masks, images: Images, preprocessing: Preprocessing) -> np.ndarray:
        """Return uint8 (N, height, width), with ``target.ignore`` where an image is padded.

        Raises DataError for the first invalid mask: not a PNG of class indices, of another size than its image, or with
        a value that is not a class.
        """
        self.check_form(masks, images)
        shape = (len(masks), preprocessing.height, preprocessing.width)
        if isinstance(masks, np.ndarray):
            if isinstance(images, np.ndarray) and masks.shape == shape and preprocessing.scale is None:
                self._check_values(masks)
                return _permuted(masks, preprocessing)
            fitted = np.empty(shape, np.uint8)
            self._bring_to_size(fitted, masks, images, preprocessing)
            return fitted
        facts = {
            "pixels": PIXELS,
            "classes": len(self.target.names),
            "ignore": self.target.ignore,
            **({"colours": [*self.target.colours, self.target.ignore_colour]} if self.target.colours else {}),
            "images": list(images.shape[2:]) if isinstance(images, np.ndarray) else None,
            **preprocessing.model_dump(
                mode="json", exclude={"channels", "mean", "std", "value_range", "interpolation"}
            ),
        }
        return dataset_cache.open_or_build(
            self._key(facts, masks, images),
            shape,
            {"dataset": self.name, "masks": len(masks), **facts},
            lambda array: self._bring_to_size(array, masks, images, preprocessing),
        )

    def _key(self, facts: dict[str, Any], masks: Sequence[Path], images: Images) -> str:
        """Return the cache key, which depends on the images, too, because of their sizes and orientations."""
        key = hashlib.sha256(json.dumps({"masks": facts}, sort_keys=True).encode())
        for file in (*masks, *(() if isinstance(images, np.ndarray) else images)):
            key.update(bytes.fromhex(digest_of(file, self.digest)))
        return key.hexdigest()[:32]

    def _bring_to_size(self, array: np.ndarray, masks: Masks, images: Images, preprocessing: Preprocessing) -> None:
        def one(index: int) -> None:
            mask = self.read(masks, images, index, preprocessing)
            with self.faults_named(masks, index):
                array[index] = fit_mask(mask, preprocessing, self.target.ignore)

        each_in_threads(one, len(masks), f"{self.name}: decoding {len(masks):,} masks, once")

    def read(self, masks: Masks, images: Images, index: int, preprocessing: Preprocessing) -> Image.Image:
        """Return a mask of class indices at its own size, upright like its image. Raises DataError."""
        given = masks[index]
        placement = (
            Placement((images.shape[3], images.shape[2]))
            if isinstance(images, np.ndarray)
            else image_of(images[index], placement_of)
        )
        with self.faults_named(masks, index):
            if isinstance(given, Path):
                mask = aligned(*read_mask(given, preprocessing.max_pixels, self.target), placement)
            else:
                mask = aligned(Image.fromarray(given), False, placement)
            check_indices(np.asarray(mask), self.target)
        return mask

    @contextmanager
    def faults_named(self, masks: Masks, index: int) -> Iterator[None]:
        """Raise a ValueError or OSError about a mask as DataError."""
        try:
            yield
        except (ValueError, OSError) as error:
            given = masks[index]
            where = given if isinstance(given, Path) else f"{self.name}, mask {index}"
            raise DataError(f"this mask {error}", where=where, fix=FIX) from error

    def check_form(self, masks: Masks, images: Images) -> None:
        """Raise DataError if there is not a mask of the right type for each image."""
        reason = None
        if len(masks) != len(images):
            reason = f"there are {len(images):,} images, but {len(masks):,} masks"
        elif isinstance(masks, np.ndarray) and (masks.dtype != np.uint8 or masks.ndim != 3):
            reason = f"masks must be uint8 (N, H, W), not {masks.dtype} {masks.shape}"
        elif isinstance(masks, np.ndarray) and isinstance(images, np.ndarray) and masks.shape[1:] != images.shape[2:]:
            sizes = ["×".join(map(str, shape)) for shape in (masks.shape[1:], images.shape[2:])]
            reason = f"the masks are {sizes[0]}, but their images are {sizes[1]}"
        if reason is not None:
            raise DataError(reason, where=self.name, fix="give each image a mask of its size")

    def _check_values(self, masks: np.ndarray) -> None:
        for index, mask in enumerate(masks):
            with self.faults_named(masks, index):
                check_indices(mask, self.target)


def check_indices(mask: np.ndarray, target: Mask) -> None:
    """Raise ValueError with the first pixel whose value is neither a class nor ``ignore``; ``mask`` is (H, W)."""
    wrong = mask >= len(target.names)
    if target.ignore is not None:
        wrong &= mask != target.ignore
    if wrong.any():
        row, column = np.unravel_index(int(wrong.argmax()), mask.shape)
        ignored = "" if target.ignore is None else f", and {target.ignore} is ignored"
        raise ValueError(
            f"has the value {mask[row, column]} in row {row}, column {column}: the classes are 0 to "
            f"{len(target.names) - 1}{ignored}"
        )


def fit_mask(mask: Image.Image, preprocessing: Preprocessing, ignore: int | None) -> np.ndarray:
    """Return uint8 (height, width), resized like the image, with nearest-neighbour sampling.

    Raises ValueError if it must be padded and there is no ignore value.
    """
    height, width, most = preprocessing.height, preprocessing.width, preprocessing.max_pixels
    if preprocessing.resize == WAYS["crop"]:
        found = _cropped(mask, height, width, ignore)
    elif preprocessing.resize == WAYS["squash"]:
        found = np.asarray(resize(mask, (width, height), NEAREST, most))
    elif preprocessing.scale is None:
        found = np.asarray(cover(mask, height, width, NEAREST, most))
    else:
        found = np.asarray(scale_and_crop(mask, height, width, preprocessing.scale, NEAREST, most))
    return np.asarray(_permuted(found[None], preprocessing)[0])


def _cropped(mask: Image.Image, height: int, width: int, ignore: int | None) -> np.ndarray:
    if ignore is None:
        if mask.width < width or mask.height < height:
            raise ValueError(
                f"is smaller than {height}×{width}, and there is no ignore value (Mask.ignore) for padding"
            )
        return np.asarray(crop(mask, height, width))
    # `crop` pads with 0, so 0 and the ignore value are exchanged before and after it.
    swapped = Image.fromarray(np.asarray(mask) ^ np.uint8(ignore))
    return np.asarray(np.asarray(crop(swapped, height, width)) ^ np.uint8(ignore))


def _permuted(masks: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    seed = preprocessing.permute_pixels
    return masks if seed is None else permute(masks[:, None], seed)[:, 0]
