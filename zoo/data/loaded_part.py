"""One part of a dataset, ready for a network, by one fast path.

A part is one uint8 tensor, brought to the network's size once, and targets. A batch is an index into it and one
fused normalise: there is no Python call a sample. Small parts live on the device as a whole; others stay in host memory
and travel a block at a time.
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
from zoo.runtime import read_image, to_chw

Augment = EpochAugmentation
"""Images (N, C, H, W), uint8 on the device, and their indices (N,) in the part → images of that size, 0–255, in a
tensor of their own; and so masks with them."""

Decode = Callable[[Sequence[Path], Preprocessing], np.ndarray]
"""Files of images → uint8 (N, channels, height, width)."""

BLOCK_BYTES = 4 << 20
"""Uint8 bytes gathered and normalised at once: batches are slices of such a block, so that small images cost few
calls."""
RESIDENT_BYTES = 4 << 30
"""A part no larger than this is kept on the device as a whole."""


RAW_IMAGES = 20
"""Images a part keeps as the dataset gave them, to show and to try predictions on."""


class LoadedPart:
    """One part, ready for a network; the implementation of `zoo.api.PartView`."""

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
        # torch wants an array it could write to: a dataset's read-only one is copied, others are not
        images = torch.from_numpy(np.require(arrays, requirements=["C", "W"]))
        self.images = images.to(device) if images.nbytes <= RESIDENT_BYTES else images
        self._load_masks = load_masks
        found = self._loaded_targets(split, preprocessing)
        self._targets = None if found is None else found.to(self.images.device)
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
            for values in (preprocessing.mean, preprocessing.std)
        )
        self._mean = preprocessing.mean
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._read = partial(
            read_image, channels=3, max_pixels=preprocessing.max_pixels, value_range=preprocessing.value_range
        )
        self._given: np.ndarray | Sequence[Path] = split.images[:RAW_IMAGES]
        self.names: Sequence[str] = split.names if split.names is not None else range_names(len(images))

    def _loaded_targets(self, split: Split, preprocessing: Preprocessing) -> Tensor | None:
        """In the dtype and shape that batches have; None where there are none."""
        if split.targets is None:
            return None
        if self._load_masks is None or isinstance(split.images, SampleSource):
            return _as_tensor(np.asarray(split.targets))
        return _as_tensor(self._load_masks(split.targets, split.images, preprocessing))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def files(self) -> Sequence[Path]:
        """The files of the first images, where the dataset consists of files."""
        return [] if isinstance(self._given, np.ndarray) else self._given

    @cached_property
    def raw_images(self) -> list[np.ndarray]:
        """The first images as the dataset has them, uint8 (C, h, w) of any size."""
        return (
            list(self._given)
            if isinstance(self._given, np.ndarray)
            else [to_chw(image_of(file, self._read)) for file in self._given]
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
        """A digest of all inputs, as a network gets them."""
        digest = hashlib.blake2b(
            f"{tuple(self.images.shape)} {self._scale.tolist()} {self._shift.tolist()}".encode(), digest_size=32
        )
        for rows in self.images.split(1024):  # type: ignore[no-untyped-call]
            digest.update(rows.contiguous().cpu().numpy().data)
        return digest.hexdigest()

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Every sample once, in order; nothing is copied that lies there already."""
        return self.batches_of(np.arange(len(self)), batch_size)

    def batches_of(
        self, indices: np.ndarray, batch_size: int, first: int = 0, augment: Augment | None = None
    ) -> Iterator[Batch]:
        """Batches of ``indices``, in their order, from batch ``first`` on; the last may be smaller.

        ``augment`` changes them on the device.

        Blocks start where they would with ``first=0``: a batch then has the same alignment in memory whether its epoch
        was resumed or not, and BLAS, whose rounding may depend on alignment, the same result.
        """
        per_block = max(1, BLOCK_BYTES // (batch_size * max(1, self.images[0].nbytes)))
        skipped_blocks, skipped = divmod(first, per_block)
        blocks = self._blocks(indices[skipped_blocks * per_block * batch_size :], batch_size, per_block, augment)
        return itertools.islice(blocks, skipped, None)

    def _blocks(self, indices: np.ndarray, batch_size: int, per_block: int, augment: Augment | None) -> Iterator[Batch]:
        chosen = torch.from_numpy(np.ascontiguousarray(indices)).to(self.images.device)
        block = batch_size * per_block
        for start in range(0, len(chosen), block):
            rows = chosen[start : start + block]
            images = self.images.index_select(0, rows).to(self.device)
            targets = None if self._targets is None else self._targets.index_select(0, rows).to(self.device)
            if augment is not None and self._load_masks is not None:
                images, targets = augment.pairs(images, targets, indices[start : start + block])
            elif augment is not None:
                images = augment(images, indices[start : start + block])
            laid = images.contiguous(memory_format=self.memory_format)  # as bytes: a quarter of what floats would be
            inputs = laid.to(torch.float32).mul_(self._scale).add_(self._shift)
            columns = (_pieces(column, batch_size) for column in (inputs, targets, rows.to(self.device)))
            yield from map(Batch, *columns)

    def augmenter(self, specification: Sequence[dict[str, dict[str, Any]]], seed: int) -> Augmenter:
        """The random changes of a specification for this part's images, and for the masks with them."""
        ignore = None if self._load_masks is None else self._load_masks.target.ignore
        return Augmenter(specification, seed, self.images, self._mean, ignore)

    def images_of(self, indices: Iterable[int]) -> np.ndarray:
        """uint8 (n, H, W, C)."""
        chosen = torch.as_tensor(list(indices), dtype=torch.int64, device=self.images.device)
        return self.images.index_select(0, chosen).permute(0, 2, 3, 1).cpu().numpy()


def _as_tensor(targets: np.ndarray) -> Tensor:
    """Integers of one dimension are classes, whatever their size: losses and metrics take int64."""
    classes = targets.ndim == 1 and targets.dtype.kind in "iu"
    return torch.from_numpy(np.require(targets, np.int64 if classes else None, ["C", "W"]))


def _pieces(column: Tensor | None, size: int) -> Iterator[Any]:
    """A column of batches: None for each of them where there is none."""
    return itertools.repeat(None) if column is None else iter(column.split(size))  # type: ignore[no-untyped-call]


def _no_decoder(files: Sequence[Path], _preprocessing: Preprocessing) -> np.ndarray:
    raise TypeError(f"{len(files)} files are given, and nothing to decode them with")


def range_names(count: int) -> list[str]:
    return [str(index) for index in range(count)]
