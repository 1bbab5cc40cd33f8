"""A split of a dataset, preprocessed for a network and loaded completely.

The images are one uint8 tensor of the network's size. A batch is an indexing operation and a fused normalisation,
without Python calls per sample. Small splits are stored on the device; others stay in host memory and are copied in
blocks.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.api import Batch, SampleSource, Split
from zoo.data.augmentation import Augmenter, EpochAugmentation
from zoo.data.decoding import image_of
from zoo.data.masks import MaskLoader
from zoo.data.preprocessing import Preprocessing
from zoo.data.to_device import to_device
from zoo.runtime import read_image, to_chw

Augment = EpochAugmentation
"""Augments uint8 images (N, C, H, W) on the device with their indices (N,) in the split, and their masks; returns new
tensors of the same shapes, with values from 0 to 255."""

Decode = Callable[[Sequence[Path], Preprocessing], np.ndarray]
"""Decodes image files to uint8 (N, channels, height, width)."""

BLOCK_BYTES = 4 << 20
"""The size in bytes of a block that is gathered and normalised at once; batches are slices of blocks, which saves calls
for small images."""
RESIDENT_BYTES = 4 << 30
"""The maximum size in bytes of a split that is stored on the device."""


RAW_IMAGES = 20
"""The number of original images that are kept for display and for test predictions."""


class LoadedPart:
    """A split, preprocessed for a network; an implementation of `zoo.api.PartView`."""

    def __init__(
        self,
        split: Split,
        preprocessing: Preprocessing,
        device: torch.device,
        decode: Decode | None = None,
        load_masks: MaskLoader | None = None,
    ) -> None:
        """``decode`` brings files to the network's size; a split of arrays needs none. ``load_masks`` is given where
        the targets are masks."""
        self.device = device
        self.memory_format = torch.contiguous_format
        """In which batches are given; a training sets it to its own."""
        if isinstance(split.images, SampleSource):
            raise TypeError("samples that are made on demand are a StreamedPart")
        arrays = (
            preprocessing.apply(split.images)
            if isinstance(split.images, np.ndarray)
            else (decode or _no_decoder)(split.images, preprocessing)
        )
        # torch needs a writable array, so a read-only one is copied.
        images = torch.from_numpy(np.require(arrays, requirements=["C", "W"]))
        self.images = images.to(device) if images.nbytes <= RESIDENT_BYTES else images
        self._load_masks = load_masks
        found = self._loaded_targets(split, preprocessing)
        self._targets = None if found is None else found.to(self.images.device)
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
            for values in (preprocessing.mean, preprocessing.std)
        )
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._preprocessing = preprocessing
        self._given: np.ndarray | Sequence[Path] = split.images[:RAW_IMAGES]
        self.names: Sequence[str] = split.names if split.names is not None else range_names(len(images))

    def _loaded_targets(self, split: Split, preprocessing: Preprocessing) -> Tensor | None:
        """Return the targets in the dtype and shape of batches, or None."""
        if split.targets is None:
            return None
        if self._load_masks is None or isinstance(split.images, SampleSource):
            return _as_tensor(np.asarray(split.targets))
        return _as_tensor(self._load_masks(split.targets, split.images, preprocessing))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def files(self) -> Sequence[Path]:
        """The files of the first images, if the dataset consists of files."""
        return [] if isinstance(self._given, np.ndarray) else self._given

    @cached_property
    def raw_images(self) -> list[np.ndarray]:
        """The first images before preprocessing, uint8 (C, h, w) of any size."""
        return (
            list(self._given) if isinstance(self._given, np.ndarray) else raw_images(self._given, self._preprocessing)
        )

    @property
    def targets(self) -> np.ndarray | None:
        return None if self._targets is None else self._targets.cpu().numpy()

    def targets_of(self, indices: Iterable[int]) -> np.ndarray | None:
        if self._targets is None:
            return None
        chosen = torch.as_tensor(list(indices), dtype=torch.int64, device=self._targets.device)
        return self._targets.index_select(0, chosen).cpu().numpy()

    @cached_property
    def content(self) -> str:
        """Return a digest of all inputs of the network."""
        digest = hashlib.blake2b(
            f"{tuple(self.images.shape)} {self._scale.tolist()} {self._shift.tolist()}".encode(), digest_size=32
        )
        for rows in self.images.split(1024):  # type: ignore[no-untyped-call]
            digest.update(rows.contiguous().cpu().numpy().data)
        return digest.hexdigest()

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield every sample once, in order, without copying data that is already in place."""
        return self.batches_of(np.arange(len(self)), batch_size)

    def batches_of(
        self, indices: np.ndarray, batch_size: int, first: int = 0, augment: Augment | None = None
    ) -> Iterator[Batch]:
        """Yield batches of ``indices``, in order, from batch ``first``; the last may be smaller.

        ``augment`` is applied on the device. Blocks start at the same places as with ``first=0``, so that a batch has
        the same memory alignment in a resumed epoch; the rounding of BLAS may depend on it.
        """
        per_block = max(1, BLOCK_BYTES // (batch_size * max(1, self.images[0].nbytes)))
        skipped_blocks, skipped = divmod(first, per_block)
        blocks = self._blocks(indices[skipped_blocks * per_block * batch_size :], batch_size, per_block, augment)
        return itertools.islice(blocks, skipped, None)

    def _blocks(self, indices: np.ndarray, batch_size: int, per_block: int, augment: Augment | None) -> Iterator[Batch]:
        chosen = to_device(torch.from_numpy(np.ascontiguousarray(indices)), self.images.device)
        block = batch_size * per_block
        for start in range(0, len(chosen), block):
            rows = chosen[start : start + block]
            images = to_device(self.images.index_select(0, rows), self.device)
            targets = None if self._targets is None else to_device(self._targets.index_select(0, rows), self.device)
            if augment is not None and self._load_masks is not None:
                images, targets = augment.pairs(images, targets, indices[start : start + block])
            elif augment is not None:
                images = augment(images, indices[start : start + block])
            laid = images.contiguous(memory_format=self.memory_format)  # as bytes, a quarter of the size of floats
            inputs = laid.to(torch.float32).mul_(self._scale).add_(self._shift)
            columns = (_pieces(column, batch_size) for column in (inputs, targets, to_device(rows, self.device)))
            yield from map(Batch, *columns)

    def augmented(self, indices: np.ndarray, augment: Augment) -> tuple[Tensor, Tensor | None]:
        """Return the augmented images of a training epoch, (n, C, H, W), 0–255, and their masks, if any."""
        rows = torch.from_numpy(np.ascontiguousarray(indices)).to(self.images.device)
        masks = None if self._load_masks is None or self._targets is None else self._targets.index_select(0, rows)
        return augment.pairs(self.images.index_select(0, rows), masks, indices)

    def augmenter(self, specification: Sequence[dict[str, dict[str, Any]]], seed: int) -> Augmenter:
        """Return the augmenter of a specification for this split's images and masks."""
        ignore = None if self._load_masks is None else self._load_masks.target.ignore
        return Augmenter(specification, seed, self.images, self._preprocessing.mean, ignore)

    def images_of(self, indices: Iterable[int]) -> np.ndarray:
        """uint8 (n, H, W, C)."""
        chosen = torch.as_tensor(list(indices), dtype=torch.int64, device=self.images.device)
        return self.images.index_select(0, chosen).permute(0, 2, 3, 1).cpu().numpy()


def raw_images(files: Sequence[Path], preprocessing: Preprocessing) -> list[np.ndarray]:
    """Return images in colour at their own sizes, uint8 (3, h, w)."""
    read = partial(read_image, channels=3, max_pixels=preprocessing.max_pixels, value_range=preprocessing.value_range)
    return [to_chw(image_of(file, read)) for file in files]


def _as_tensor(targets: np.ndarray) -> Tensor:
    """Return a tensor; 1-D integers are classes and become int64, as losses and metrics need."""
    classes = targets.ndim == 1 and targets.dtype.kind in "iu"
    return torch.from_numpy(np.require(targets, np.int64 if classes else None, ["C", "W"]))


def _pieces(column: Tensor | None, size: int) -> Iterator[Any]:
    """Yield the batches of a column, or None for each batch if there is no column."""
    return itertools.repeat(None) if column is None else iter(column.split(size))  # type: ignore[no-untyped-call]


def _no_decoder(files: Sequence[Path], _preprocessing: Preprocessing) -> np.ndarray:
    raise TypeError(f"there is no decoder for {len(files)} files")


def range_names(count: int) -> list[str]:
    return [str(index) for index in range(count)]
