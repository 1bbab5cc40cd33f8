"""Samples of image files that are not kept at the network's size, and random crops cut from the images themselves."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.api import SampleSource
from zoo.data.masks import NEAREST, MaskLoader, Masks, fit_mask
from zoo.data.preprocessing import Preprocessing
from zoo.data.source_images import Box, SourceImages, scaled

Boxes = Callable[[np.ndarray], np.ndarray]
"""Sizes (n, 2) of images, height and width → their boxes, int64 (n, 4)."""


@dataclass(frozen=True)
class SourceMasks:
    """The mask files of image files. Every method may be called from several threads at once, and raises DataError."""

    load: MaskLoader
    masks: Masks
    files: Sequence[Path]
    preprocessing: Preprocessing

    def sized(self, index: int) -> np.ndarray:
        """Return the whole mask, uint8 (H, W) of the network's size."""
        mask = self.load.read(self.masks, self.files, index, self.preprocessing)
        with self.load.faults_named(self.masks, index):
            return fit_mask(mask, self.preprocessing, self.load.target.ignore)

    def cut(self, index: int, box: Box) -> np.ndarray:
        """Return the mask in a box, scaled to the network's size with nearest-neighbour sampling, uint8 (H, W)."""
        mask = self.load.read(self.masks, self.files, index, self.preprocessing)
        part = mask.crop((box.left, box.top, box.left + box.width, box.top + box.height))
        return np.asarray(part.resize((self.preprocessing.width, self.preprocessing.height), NEAREST))


class SourceSamples(SampleSource):
    """Samples of image files, read by several threads. The result does not depend on their number.

    ``targets``: (N, …), or those of mask files, or None. ``workers``: the number of threads, by default one for each
    core.
    """

    def __init__(
        self,
        images: SourceImages,
        targets: np.ndarray | SourceMasks | None,
        preprocessing: Preprocessing,
        masks: SourceMasks | None = None,
        *,
        workers: int | None = None,
    ) -> None:
        """``masks``: those to cut with the images, by default the targets if they are masks."""
        self._images, self._targets, self._preprocessing = images, targets, preprocessing
        self._masks = targets if masks is None and isinstance(targets, SourceMasks) else masks
        self._threads = single_core_threads(workers or os.cpu_count() or 1, "decode")

    def __len__(self) -> int:
        return len(self._images)

    def images(self, indices: np.ndarray) -> np.ndarray:
        """Return uint8 (n, C, H, W), preprocessed for the network."""
        out = np.empty((len(indices), *self._preprocessing.shape), np.uint8)

        def one(place: int) -> None:
            out[place] = self._images.sized(int(indices[place]))

        self._each(one, len(indices))
        return out

    def targets(self, indices: np.ndarray) -> np.ndarray | None:
        if not isinstance(self._targets, SourceMasks):
            return None if self._targets is None else self._targets[indices]
        masks, out = self._targets, np.empty((len(indices), *self._preprocessing.shape[1:]), np.uint8)

        def one(place: int) -> None:
            out[place] = masks.sized(int(indices[place]))

        self._each(one, len(indices))
        return out

    def cut(self, indices: np.ndarray, boxes: Boxes) -> tuple[Tensor, Tensor | None]:
        """Return the boxes of the images ``indices``, scaled to the network's size with antialiasing: uint8 (n, C, H,
        W), in memory as (n, H, W, C); and those of their masks, uint8 (n, H, W), or None without masks."""
        channels, height, width = self._preprocessing.shape
        sizes = np.empty((len(indices), 2), np.int64)

        def measure(place: int) -> None:
            sizes[place] = self._images.size(int(indices[place]))

        self._each(measure, len(indices))
        chosen = [Box(*box) for box in boxes(sizes).tolist()]
        images = np.empty((len(indices), height, width, channels), np.uint8)
        masks = None if self._masks is None else np.empty((len(indices), height, width), np.uint8)

        def one(place: int) -> None:
            index, box = int(indices[place]), chosen[place]
            images[place] = scaled(self._images.cut(index, box), self._preprocessing)
            if masks is not None and self._masks is not None:
                masks[place] = self._masks.cut(index, box)

        self._each(one, len(indices))
        return torch.from_numpy(images).permute(0, 3, 1, 2), None if masks is None else torch.from_numpy(masks)

    def _each(self, one: Callable[[int], None], count: int) -> None:
        """Call ``one`` with each place below ``count``; raise the first exception by place."""
        for done in [self._threads.submit(one, place) for place in range(count)]:
            done.result()


@functools.cache
def single_core_threads(count: int, name: str) -> ThreadPoolExecutor:
    """Return threads that each run torch's operations on one core: many images at once use the cores better than many
    threads for one image. (OpenMP has a number of threads for each thread that calls it.)"""
    pool, all_started, before = ThreadPoolExecutor(count, name), threading.Barrier(count), torch.get_num_threads()

    def begin(_number: int) -> None:
        all_started.wait()  # so that no thread begins twice
        torch.get_num_threads()  # initialises this thread, which would otherwise undo the next line later
        torch.set_num_threads(1)

    list(pool.map(begin, range(count)))
    torch.set_num_threads(before)  # of threads that start later
    return pool
