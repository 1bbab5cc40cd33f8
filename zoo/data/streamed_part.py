"""A split of a `SampleSource`, whose samples are generated, fetched or decoded on demand.

While a batch is in use, other threads fetch the next ones.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.api import Batch, Mask, SampleSource
from zoo.data.augmentation import SAMPLE, Augmenter, check_crop_is_first, fits_images
from zoo.data.loaded_part import RAW_IMAGES, Augment, raw_images
from zoo.data.preprocessing import Preprocessing
from zoo.data.sample_sources import IndexNames
from zoo.data.source_samples import SourceSamples, single_core_threads
from zoo.data.to_device import to_device
from zoo.errors import PluginError, report_to
from zoo.support.progress import tracked

AHEAD = 2
"""The number of batches that are fetched in advance."""
PASS = 256
"""The batch size of a pass over all samples."""
STATISTICS = 1024
"""The number of samples for `Augmentation.fit`."""
SAY_FROM = 10_000

Fetched = tuple[Tensor, Tensor | None, bool]
"""Images, targets, and whether the images are cut from their sources."""
Prepare = Callable[[np.ndarray, Augment | None], Batch | Fetched]
CheckTargets = Callable[[Any, int], Any]
"""Targets and their number → the targets as their kind's dtype; raises for anything else (`zoo.data.targets`)."""


class StreamedPart:
    """A split, preprocessed for a network; an implementation of `zoo.api.PartView` for `zoo.api.SampleSource`."""

    def __init__(
        self,
        samples: SampleSource,
        preprocessing: Preprocessing,
        device: torch.device,
        masks: Mask | None = None,
        *,
        names: Sequence[str] | None = None,
        check: CheckTargets | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        """``masks``: targets are such ones, of the network's size, and are moved with their images. ``names``: of the
        samples, by default their indices. ``check``: looks at the targets of every batch. ``files``: those of the
        samples, if there are files."""
        self.device = device
        self.memory_format = torch.contiguous_format
        """In which batches are given; a training sets it to its own."""
        self._samples, self._preprocessing, self._masks, self._check = samples, preprocessing, masks, check
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
            for values in (preprocessing.mean, preprocessing.std)
        )
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self.names: Sequence[str] = IndexNames(range(len(samples))) if names is None else names
        self._files = list(files[:RAW_IMAGES])

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def files(self) -> Sequence[Path]:
        """The files of the first images, if there are any."""
        return self._files

    @cached_property
    def raw_images(self) -> list[np.ndarray]:
        """The first images as the dataset has them, uint8 (C, h, w) of any size."""
        if self._files:
            return raw_images(self._files, self._preprocessing)
        return list(self._samples.images(np.arange(min(RAW_IMAGES, len(self)))))

    @cached_property
    def targets(self) -> np.ndarray | None:
        """The targets of all samples, by one pass over them."""
        found = []
        for rows in self._passes("reading targets"):
            targets = self._targets_of(rows)
            if targets is None:
                return None
            found.append(targets.numpy())
        return np.concatenate(found)

    def targets_of(self, indices: Iterable[int]) -> np.ndarray | None:
        targets = self._targets_of(np.fromiter(indices, np.int64))
        return None if targets is None else targets.numpy()

    @cached_property
    def content(self) -> str:
        """Return a digest of all inputs of the network, by one pass over them."""
        digest = hashlib.blake2b(f"{len(self)} {self._scale.tolist()} {self._shift.tolist()}".encode(), digest_size=32)
        for rows in self._passes("reading images"):
            digest.update(self._images_of(rows).numpy().data)
        return digest.hexdigest()

    def _passes(self, what: str) -> Iterable[np.ndarray]:
        pieces = [np.arange(start, min(start + PASS, len(self))) for start in range(0, len(self), PASS)]
        return tracked(pieces, f"{what} of {len(self):,} samples") if len(self) >= SAY_FROM else pieces

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Every sample once, in order."""
        return self.batches_of(np.arange(len(self)), batch_size)

    def batches_of(
        self, indices: np.ndarray, batch_size: int, first: int = 0, augment: Augment | None = None
    ) -> Iterator[Batch]:
        """Batches of ``indices``, in their order, from batch ``first`` on; the last may be smaller.

        ``augment`` changes them on the device.
        """
        pieces = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)][first:]
        with self._threads(augment) as (pool, prepare):
            waiting: deque[Future[Batch | Fetched]] = deque()
            try:
                for place, rows in enumerate(pieces):
                    for ahead in pieces[place + len(waiting) : place + 1 + AHEAD]:
                        waiting.append(pool.submit(prepare, ahead, augment))
                    found = waiting.popleft().result()
                    yield found if isinstance(found, Batch) else self._batch(rows, found, augment)
            finally:
                for each in waiting:
                    each.cancel()

    @contextmanager
    def _threads(self, augment: Augment | None) -> Iterator[tuple[ThreadPoolExecutor, Prepare]]:
        """Give threads, and what they do for a batch: only fetch it, or also augment crops on a CPU, where the main
        thread would wait for the cores that the others use."""
        if self._cuts(augment) and self.device.type == "cpu":
            yield single_core_threads(AHEAD, "prepare"), self._prepare
        else:
            with ThreadPoolExecutor(AHEAD) as pool:
                yield pool, self._fetch

    def _prepare(self, rows: np.ndarray, augment: Augment | None) -> Batch:
        return self._batch(rows, self._fetch(rows, augment), augment)

    def _cuts(self, augment: Augment | None) -> bool:
        return augment is not None and augment.augmenter.cuts and isinstance(self._samples, SourceSamples)

    def _fetch(self, rows: np.ndarray, augment: Augment | None) -> Fetched:
        if augment is None or not isinstance(self._samples, SourceSamples) or not self._cuts(augment):
            return self._images_of(rows), self._targets_of(rows), False
        images, masks = self._samples.cut(rows, partial(augment.boxes, rows))
        return images, self._targets_of(rows) if masks is None else masks, True

    def _images_of(self, rows: np.ndarray) -> Tensor:
        """uint8 (n, C, H, W) at the network's size."""
        if isinstance(self._samples, SourceSamples):
            return torch.from_numpy(self._samples.images(rows))
        given = self._samples.images(rows)
        groups = [given] if isinstance(given, np.ndarray) else [np.asarray(image)[None] for image in given]
        prepared = np.concatenate([self._preprocessing.apply(each) for each in groups])
        return torch.from_numpy(np.require(prepared, requirements=["C", "W"]))

    def _targets_of(self, rows: np.ndarray) -> Tensor | None:
        targets: Any = self._samples.targets(rows)
        if targets is None:
            return None
        if self._check is not None:
            targets = self._check(targets, len(rows))
        size = (self._preprocessing.height, self._preprocessing.width)
        if self._masks is not None and np.shape(targets)[1:] != size:
            raise PluginError(
                f"masks from a SampleSource must be arrays of the network's size, {size[0]}×{size[1]}",
                fix=f"set dataset.resize=never, or {report_to()}",
            )
        classes = targets.ndim == 1 and targets.dtype.kind in "iu"
        return torch.from_numpy(np.require(targets, np.int64 if classes else None, ["C", "W"]))

    def _batch(self, rows: np.ndarray, fetched: Fetched, augment: Augment | None) -> Batch:
        images, targets, cut = fetched
        images = to_device(images, self.device)
        targets = None if targets is None else to_device(targets, self.device)
        if augment is not None:
            images, masks = augment.pairs(images, None if self._masks is None else targets, rows, cut=cut)
            targets = targets if masks is None else masks
        laid = images.contiguous(memory_format=self.memory_format)
        inputs = laid.to(torch.float32).mul_(self._scale).add_(self._shift)
        indices = to_device(torch.from_numpy(np.ascontiguousarray(rows)), self.device)
        return Batch(inputs, targets, indices)

    def augmented(self, indices: np.ndarray, augment: Augment) -> tuple[Tensor, Tensor | None]:
        """Return the augmented images of a training epoch, (n, C, H, W), 0–255, and their masks, if any."""
        images, targets, cut = self._fetch(indices, augment)
        return augment.pairs(images, None if self._masks is None else targets, indices, cut=cut)

    def augmenter(self, specification: Sequence[dict[str, dict[str, Any]]], seed: int) -> Augmenter:
        """Return the augmenter of a specification for this split's images.

        Raises UsageError for a crop that cannot be cut from image files.
        """
        rows = np.arange(min(STATISTICS, len(self)))
        if isinstance(self._samples, SourceSamples):
            check_crop_is_first(specification)
            # the images that a `LoadedPart` gives, or two to try the augmentations on
            rows = np.arange(0, len(self), max(1, len(self) // SAMPLE)) if fits_images(specification) else rows[:2]
        first = self._images_of(rows)
        ignore = None if self._masks is None else self._masks.ignore
        return Augmenter(specification, seed, first.to(self.device), self._preprocessing.mean, ignore)

    def images_of(self, indices: Iterable[int]) -> np.ndarray:
        """uint8 (n, H, W, C)."""
        return self._images_of(np.fromiter(indices, np.int64)).permute(0, 2, 3, 1).numpy()
