"""Images and targets that are passed from Python: arrays, tensors or torch Datasets, as arrays of zoo's form.

Images are (N, H, W), (N, C, H, W) or (N, H, W, C) with 1 or 3 channels: uint8, or floats from 0 to 1. A shape is read
as (N, C, H, W) if its second side is 1 or 3, otherwise as (N, H, W, C) if its last side is 1 or 3. Nothing here imports
torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from zoo.errors import DataError, UsageError

CHANNELS = (1, 3)
READ_TWICE = 3
"""Samples of a torch Dataset that are read twice, to find random transforms."""
SHAPES = "(N, H, W), (N, C, H, W) or (N, H, W, C) with 1 or 3 channels"


class Column(NamedTuple):
    """One split: uint8 images (N, C, H, W), their targets as they were passed, and whether the images were floats."""

    images: np.ndarray
    targets: np.ndarray
    rounded: bool = False


def column_of(pair: Any, split: str) -> Column:
    """Return a split for a pair (X, y) of arrays or tensors, or for a torch Dataset of such pairs.

    A Dataset is read completely, once. Raises DataError for what does not fit, UsageError for what is neither.
    """
    where = f"the {split} split"
    if isinstance(pair, tuple | list):
        if len(pair) != 2:
            raise UsageError(f"a split is a pair (X, y), not {len(pair)} values", where=where, fix="pass (X, y)")
        images, targets = (as_array(each, f"{name} of {where}") for each, name in zip(pair, "Xy", strict=True))
    elif is_dataset(pair):
        images, targets = _read(pair, where)
    else:
        raise UsageError(
            f"a split is a pair (X, y) or a torch Dataset, not {type(pair).__name__}", where=where, fix="pass (X, y)"
        )
    if not len(images):
        raise DataError("the split is empty", where=where, fix="pass at least one image")
    if len(images) != len(targets):
        raise DataError(
            f"X has {len(images):,} images, but y has {len(targets):,} targets",
            where=where,
            fix="pass one y for each X",
        )
    return Column(as_images(images, where), targets, images.dtype.kind == "f")


def is_dataset(value: Any) -> bool:
    """Whether a value is a torch Dataset of the map style, and not an array, a tensor or a sequence."""
    has_items = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    return has_items and not isinstance(value, str | tuple | list | dict) and not _is_array(value)


def as_array(value: Any, what: str) -> np.ndarray:
    """Return an array, a tensor or a list as an array. Raises DataError, also for rows of different lengths."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        found = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{what} cannot be made an array: {' '.join(str(error).split())}", fix="pass arrays or tensors of one shape"
        ) from error
    if found.dtype.kind == "O" and not all(isinstance(each, str) for each in found.flat):
        raise DataError(f"{what} has Python objects", fix="pass an array of numbers, or of strings for class names")
    return found


def as_images(images: np.ndarray, where: str) -> np.ndarray:
    """Return uint8 (N, C, H, W) for uint8 images, or for floats from 0 to 1, which are rounded to 8 bits.

    Raises DataError for other shapes, types and values.
    """
    laid = _as_nchw(images, where)
    if laid.dtype == np.uint8:
        return np.ascontiguousarray(laid)
    if laid.dtype.kind != "f":
        raise DataError(f"images are uint8 or float, not {laid.dtype}", where=where, fix="convert X to uint8")
    low, high = float(laid.min()), float(laid.max())
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"float images have values from 0 to 1, not from {low:g} to {high:g}",
            where=where,
            fix="pass uint8 images, or scale X to 0…1; zoo normalises by dataset.mean and dataset.std itself",
        )
    scaled: np.ndarray = np.rint(laid * laid.dtype.type(255)).astype(np.uint8)
    return scaled


def as_image(image: Any) -> np.ndarray:
    """Return one image (a PIL image, an array or a tensor) as uint8 (C, H, W). Raises DataError as `as_images` does."""
    opened = _of_pil(image) if hasattr(image, "getbands") else as_array(image, "the image")
    images = as_images(opened[None], "the image")
    return np.asarray(images[0])


def _as_nchw(images: np.ndarray, where: str) -> np.ndarray:
    if images.ndim == 3:
        return images[:, None]
    if images.ndim != 4:
        raise DataError(
            f"images are {SHAPES}, not {images.shape}", where=where, fix="reshape X; zoo takes images, not tables"
        )
    first, last = images.shape[1] in CHANNELS, images.shape[3] in CHANNELS
    if first and last and images.shape[1] != images.shape[3]:
        raise DataError(
            f"images of the shape {images.shape} could be (N, C, H, W) or (N, H, W, C)",
            where=where,
            fix="pass images with more than 3 rows and columns",
        )
    if not first and not last:
        raise DataError(f"images are {SHAPES}, not {images.shape}", where=where, fix="pass gray or RGB images")
    return images if first else images.transpose(0, 3, 1, 2)


def _read(dataset: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Read every sample of a torch Dataset. Raises DataError if images differ in size or from reading to reading."""
    pairs = [_pair(dataset, index, where) for index in range(len(dataset))]
    for index, (image, _) in enumerate(pairs[:READ_TWICE]):
        if not np.array_equal(image, _pair(dataset, index, where)[0]):
            raise DataError(
                f"sample {index} differs when it is read again: the Dataset has random transforms",
                where=where,
                fix="leave them out, and augment by train.augment",
            )
    sizes = {image.shape for image, _ in pairs}
    if len(sizes) > 1:
        first, second, *_ = sorted(sizes)
        raise DataError(
            f"the images of the Dataset have different shapes, such as {first} and {second}",
            where=where,
            fix="resize them in the Dataset",
        )
    images: list[np.ndarray] = [image for image, _ in pairs]
    return np.stack(images) if images else np.empty((0, 1, 1, 1), np.uint8), as_array(_targets(pairs), f"y of {where}")


def _pair(dataset: Any, index: int, where: str) -> tuple[np.ndarray, Any]:
    sample = dataset[index]
    if not isinstance(sample, tuple | list) or len(sample) != 2:
        raise DataError(
            f"sample {index} of the Dataset is no pair of image and target", where=where, fix="return (image, target)"
        )
    image, target = sample
    return _of_pil(image) if hasattr(image, "getbands") else as_array(image, f"image {index} of {where}"), target


def _targets(pairs: Sequence[tuple[np.ndarray, Any]]) -> list[Any]:
    return [target.detach().cpu().numpy() if hasattr(target, "detach") else target for _, target in pairs]


def _of_pil(image: Any) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3)."""
    from zoo.runtime import convert

    return np.asarray(convert(image, 1 if image.mode in ("1", "L") else 3))


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "detach")
