"""Random augmentation of batches on the device. The result for a sample depends only on (seed, epoch, index).

Augmentations come from plugins (`zoo.api.Augmentation`). This module builds them, draws their random numbers and
transforms masks together with their images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo.api import Augmentation, AugmentationSpec, Options
from zoo.config.augmentation_options import Specification, build_steps
from zoo.contract.targets import Mask, Target
from zoo.data.to_device import numbers_on, to_device
from zoo.data.warp import source_points, warp_images, warp_masks
from zoo.errors import PluginError, UsageError, ZooError, report_to
from zoo.registry.lookup import Item, in_plugin, load_object
from zoo.registry.plugin_isolation import describe
from zoo.support import counter_random

SAMPLE = 5000
"""`Augmentation.fit` receives at least this number of images, and up to twice as many, evenly spaced over the split."""
PROBES = 256
"""The number of samples for testing whether an augmentation samples outside the image."""


class Augmenter:
    """The augmentations of a specification, fitted to one split.

    ``images`` are those of the split, uint8 (N, C, H, W); ``mean`` their channel means, 0 to 1. ``ignore`` fills masks
    outside the image; None if there are no masks. Raises PluginError if an augmentation cannot be built or fails on the
    first images.
    """

    def __init__(
        self,
        specification: Specification,
        seed: int,
        images: Tensor,
        mean: Sequence[float],
        ignore: int | None = None,
    ) -> None:
        self.seed, self.ignore = seed, ignore
        sample = images[:: max(1, len(images) // SAMPLE)]
        self.augmentations = [
            _fitted(item, options, sample, mean, seed) for item, options in build_steps(specification)
        ]
        self.cuts = bool(self.augmentations) and is_crop(self.augmentations[0])
        """Whether the first augmentation has `boxes`."""

    def of_epoch(self, epoch: int) -> EpochAugmentation:
        return EpochAugmentation(self, epoch)


@dataclass(frozen=True)
class EpochAugmentation:
    """The augmentation of one epoch, for any batch of the split."""

    augmenter: Augmenter
    epoch: int

    def __call__(self, images: Tensor, indices: np.ndarray) -> Tensor:
        """Return the augmented images, in the same shape, for images (N, C, H, W), 0–255, with indices (N,)."""
        return self.pairs(images, None, indices)[0]

    def pairs(
        self, images: Tensor, masks: Tensor | None, indices: np.ndarray, *, cut: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Like `__call__`, with the masks (N, H, W) of the images, which are transformed in the same way.

        ``cut``: the images and masks are the `boxes` of the first augmentation.
        """
        for position, augmentation in enumerate(self.augmenter.augmentations):
            draws = _placed(augmentation, self._draws(position, indices), images)
            if cut and position == 0:
                images = augmentation.pixels(images, draws)
            else:
                images, masks = apply(augmentation, images, masks, draws, self.augmenter.ignore)
        return images, masks

    def boxes(self, indices: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Return the boxes that the first augmentation cuts from images of ``sizes`` (N, 2), height and width: int64
        (N, 4), left, top, width and height, inside the images and at least one pixel wide and high."""
        found = self.augmenter.augmentations[0].boxes(
            torch.from_numpy(self._draws(0, indices)), torch.from_numpy(sizes).float()
        )
        if found is None:
            raise TypeError("the first augmentation has no boxes")
        boxes, whole = np.rint(found.double().numpy()).astype(np.int64), sizes[:, ::-1].astype(np.int64)
        sides = boxes[:, 2:].clip(1, whole)
        return np.concatenate([boxes[:, :2].clip(0, whole - sides), sides], 1)

    def _draws(self, position: int, indices: np.ndarray) -> np.ndarray:
        count = self.augmenter.augmentations[position].draws
        stream = counter_random.AUGMENT + position
        return counter_random.uniforms(self.augmenter.seed, stream, self.epoch, indices, count)


def _placed(augmentation: Augmentation[Options], draws: np.ndarray, images: Tensor) -> Tensor:
    """Return the random numbers for ``images`` where the augmentation uses them."""
    host = torch.from_numpy(draws)
    return host if augmentation.draws_on_host else to_device(host, images.device)


def apply(
    augmentation: Augmentation[Options], images: Tensor, masks: Tensor | None, draws: Tensor, ignore: int | None
) -> tuple[Tensor, Tensor | None]:
    """Apply one augmentation to a batch of images, and its geometry also to the masks, if any."""
    images = augmentation.pixels(images, draws)
    moved = augmentation.resample(images, draws)
    if moved is not None and masks is None:
        return moved, None
    maps = augmentation.geometry(draws, numbers_on(images.shape[2:], draws.device).expand(len(images), 2))
    if maps is None:
        return images, masks
    maps = to_device(maps, images.device)
    return (
        warp_images(images, maps) if moved is None else moved,
        None if masks is None else warp_masks(masks, maps, 0 if ignore is None else ignore),
    )


def augmentation_fault(specification: Specification, target: Target) -> str | None:
    """Return why targets of this kind do not support an augmentation, in one line, or None.

    Classes, labels and values do not change. Masks are transformed with their images. Opaque targets cannot be.
    """
    if target.kind not in ("mask", "opaque"):
        return None
    for item, options in build_steps(specification):
        maps, size = _probe(_built(item, options)), 224
        if maps is None:
            continue
        if not isinstance(target, Mask):
            return f"{item.spec.name} moves pixels, but targets of the kind '{target.kind}' cannot be moved with them"
        if target.ignore is None and _looks_outside(maps, size):
            return (
                f"{item.spec.name} fills pixels from outside the image, but the masks have no ignore value "
                "(Mask.ignore) for them"
            )
    return None


def check_crop_is_first(specification: Specification) -> None:
    """Raise UsageError for a crop that cannot be cut from the images at their own sizes, because another augmentation
    comes before it."""
    for item, options in build_steps(specification)[1:]:
        if is_crop(_built(item, options)):
            name = item.spec.name
            raise UsageError(
                f"{name} can be cut from images at their own size only if it is the first augmentation",
                where="train.augment",
                fix=f"put {name} first, or use dataset.cache=sized",
            )


def fits_images(specification: Specification) -> bool:
    """Return whether an augmentation computes statistics of the training split."""
    return any(type(_built(*step)).fit is not Augmentation.fit for step in build_steps(specification))


def is_crop(augmentation: Augmentation[Options]) -> bool:
    """Return whether it has `boxes`."""
    return augmentation.boxes(torch.zeros(1, augmentation.draws), torch.full((1, 2), 224.0)) is not None


def _probe(augmentation: Augmentation[Options], size: int = 224) -> Tensor | None:
    """Return its matrices for many draws, including the extremes."""
    count = augmentation.draws
    draws = counter_random.uniforms(0, counter_random.AUGMENT, 0, np.arange(PROBES), count)
    extremes = np.stack([np.zeros(count, np.float32), np.full(count, np.nextafter(np.float32(1), np.float32(0)))])
    every = torch.from_numpy(np.concatenate([draws, extremes]))
    return augmentation.geometry(every, torch.full((len(every), 2), float(size)))


def _looks_outside(maps: Tensor, size: int) -> bool:
    return any(bool(((points < 0) | (points >= size)).any()) for points in source_points(maps, size, size))


def _built(item: Item[AugmentationSpec], options: Options) -> Augmentation[Options]:
    target = load_object(item.spec.target, item)
    try:
        with in_plugin(item, f"building {item.spec.name}"):
            built = target(options)
            if not isinstance(built, Augmentation):
                raise TypeError(f"expected a zoo.api.Augmentation, not {type(built).__name__}")
    except ZooError:
        raise
    except Exception as error:
        raise _blame(item, "could not be built", error) from error
    return built


def _fitted(
    item: Item[AugmentationSpec], options: Options, sample: Tensor, mean: Sequence[float], seed: int
) -> Augmentation[Options]:
    """Return an augmentation fitted to the split and tested on the first images, so that its errors occur before the
    training."""
    augmentation = _built(item, options)
    few = sample[:2]
    draws = counter_random.uniforms(seed, counter_random.AUGMENT, 0, np.arange(len(few)), augmentation.draws)
    try:
        with in_plugin(item, f"fitting {item.spec.name}"):
            augmentation.fit(sample, mean)
            masks = torch.zeros(len(few), *few.shape[2:], dtype=torch.uint8, device=few.device)
            found, _ = apply(augmentation, few, masks, _placed(augmentation, draws, few), 255)
            if found.shape != few.shape:
                raise ValueError(f"images {tuple(few.shape)} became {tuple(found.shape)}")
            boxes = augmentation.boxes(torch.from_numpy(draws), torch.full((len(few), 2), 224.0))
            if boxes is not None and boxes.shape != (len(few), 4):
                raise ValueError(f"boxes returned {tuple(boxes.shape)}, expected {(len(few), 4)}")
    except (ZooError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise _blame(item, "failed on the first training images", error) from error
    return augmentation


def _blame(item: Item[AugmentationSpec], what: str, error: Exception) -> PluginError:
    return PluginError(
        f"augmentation '{item.canonical}' {what}: {describe(error)}",
        where=item.spec.target,
        fix=report_to(item.plugin.distribution),
    )
