"""Random augmentation, a batch at once on the device. What a sample gets depends on (seed, epoch, its index) alone.

Augmentations come from plugins (`zoo.api.Augmentation`); this builds them, draws their random numbers and moves masks
as their images are moved.
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
from zoo.data.warp import source_points, warp_images, warp_masks
from zoo.errors import PluginError, ZooError
from zoo.registry.lookup import Item, in_plugin, load_object
from zoo.registry.plugin_isolation import describe
from zoo.support import counter_random

SAMPLE = 5000
"""An augmentation learns (`Augmentation.fit`) from this number of images, evenly spaced over the split, to twice as
many."""
PROBES = 256
"""Samples whose draws show whether an augmentation looks outside the image."""


class Augmenter:
    """The augmentations of a specification, fitted to one split.

    ``images`` are those of the split, uint8 (N, C, H, W); ``mean`` their colour, 0–1 a channel. ``ignore`` fills masks
    where something comes in from outside; None where there are no masks. Raises PluginError where an augmentation
    cannot be built, or fails on the first of these images.
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

    def of_epoch(self, epoch: int) -> EpochAugmentation:
        return EpochAugmentation(self, epoch)


@dataclass(frozen=True)
class EpochAugmentation:
    """The changes of one epoch, to any batch of the split."""

    augmenter: Augmenter
    epoch: int

    def __call__(self, images: Tensor, indices: np.ndarray) -> Tensor:
        """Images (N, C, H, W), 0–255, and their indices (N,) in the split; they come back changed, of the same size."""
        return self.pairs(images, None, indices)[0]

    def pairs(self, images: Tensor, masks: Tensor | None, indices: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """As `__call__`, with the masks (N, H, W) of these images, which are moved as the images are."""
        for position, augmentation in enumerate(self.augmenter.augmentations):
            draws = counter_random.uniforms(
                self.augmenter.seed, counter_random.AUGMENT + position, self.epoch, indices, augmentation.draws
            )
            images, masks = apply(
                augmentation, images, masks, torch.from_numpy(draws).to(images.device), self.augmenter.ignore
            )
        return images, masks


def apply(
    augmentation: Augmentation[Options], images: Tensor, masks: Tensor | None, draws: Tensor, ignore: int | None
) -> tuple[Tensor, Tensor | None]:
    """One augmentation of a batch: its pixels, then its geometry, of the images and of the masks if there are any."""
    images = augmentation.pixels(images, draws)
    moved = augmentation.resample(images, draws)
    if moved is not None and masks is None:
        return moved, None
    sizes = torch.tensor(images.shape[2:], dtype=torch.float32, device=images.device).expand(len(images), 2)
    maps = augmentation.geometry(draws, sizes)
    if maps is None:
        return images, masks
    return (
        warp_images(images, maps) if moved is None else moved,
        None if masks is None else warp_masks(masks, maps, 0 if ignore is None else ignore),
    )


def augmentation_fault(specification: Specification, target: Target) -> str | None:
    """Why the targets of samples cannot follow an augmentation of their images, in one line; None where they can.

    Classes, labels and values stay as they are; masks are moved with their images; opaque targets cannot be.
    """
    if target.kind not in ("mask", "opaque"):
        return None
    for item, options in build_steps(specification):
        maps, size = _probe(_built(item, options)), 224
        if maps is None:
            continue
        if not isinstance(target, Mask):
            return f"{item.spec.name} moves pixels, and targets of kind '{target.kind}' cannot be moved with them"
        if target.ignore is None and _looks_outside(maps, size):
            return (
                f"{item.spec.name} brings in pixels from outside the image, and the masks have no value to ignore "
                "(Mask.ignore) to give them"
            )
    return None


def _probe(augmentation: Augmentation[Options], size: int = 224) -> Tensor | None:
    """Its matrices for samples of many draws, the extremes among them."""
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
                raise TypeError(f"a zoo.api.Augmentation is due, not {type(built).__name__}")
    except ZooError:
        raise
    except Exception as error:
        raise _blame(item, "could not be built", error) from error
    return built


def _fitted(
    item: Item[AugmentationSpec], options: Options, sample: Tensor, mean: Sequence[float], seed: int
) -> Augmentation[Options]:
    """An augmentation that has seen the split, and has been tried on the first of its images: what is wrong with it is
    said before training."""
    augmentation = _built(item, options)
    few = sample[:2]
    draws = counter_random.uniforms(seed, counter_random.AUGMENT, 0, np.arange(len(few)), augmentation.draws)
    try:
        with in_plugin(item, f"fitting {item.spec.name}"):
            augmentation.fit(sample, mean)
            masks = torch.zeros(len(few), *few.shape[2:], dtype=torch.uint8, device=few.device)
            found, _ = apply(augmentation, few, masks, torch.from_numpy(draws).to(few.device), 255)
            if found.shape != few.shape:
                raise ValueError(f"images {tuple(few.shape)} became {tuple(found.shape)}")
    except (ZooError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise _blame(item, "failed on the first training images", error) from error
    return augmentation


def _blame(item: Item[AugmentationSpec], what: str, error: Exception) -> PluginError:
    return PluginError(
        f"augmentation '{item.canonical}' {what}: {describe(error)}",
        where=item.spec.target,
        fix=f"report it to the authors of {item.plugin.distribution}",
    )
