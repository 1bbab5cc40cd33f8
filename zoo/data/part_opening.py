"""Open one split, by the kind of its images and ``dataset.cache``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from zoo.api import Part, SampleSource, Split
from zoo.config.run_config import CachePolicy, DatasetSection
from zoo.data.decoding import decoded
from zoo.data.loaded_part import LoadedPart, range_names
from zoo.data.masks import MaskLoader
from zoo.data.preprocessing import Preprocessing
from zoo.data.source_cache import stored_images, try_files
from zoo.data.source_images import DecodedImages, ImageFiles
from zoo.data.source_samples import SourceMasks, SourceSamples
from zoo.data.streamed_part import CheckTargets, StreamedPart
from zoo.errors import UsageError


@dataclass(frozen=True)
class PartOpener:
    """Opens the splits of a dataset. ``digest`` returns a file's sha256; ``name`` is the dataset's; ``load_masks`` is
    given where the targets are masks."""

    section: DatasetSection
    preprocessing: Preprocessing
    digest: Callable[[Path], str]
    name: str
    load_masks: MaskLoader | None

    def open(self, part: Part, split: Split, device: torch.device, check: CheckTargets) -> LoadedPart | StreamedPart:
        """Return a split for batches on ``device``; ``check`` looks at the targets of a `SampleSource`.

        Raises UsageError if ``dataset.cache`` is set for images that are no files, DataError, and StorageError.
        """
        if not isinstance(split.images, np.ndarray | SampleSource) and self._cache_of(part) != "sized":
            return self._from_files(part, split, split.images, device)
        if isinstance(split.images, np.ndarray | SampleSource) and self.section.cache != "sized":
            raise UsageError(
                f"the images of {self.name} are no files, so dataset.cache does not concern them",
                where=f"dataset.cache={self.section.cache}",
                fix="leave it out",
            )
        if isinstance(split.images, SampleSource):
            masks = None if self.load_masks is None else self.load_masks.target
            return StreamedPart(split.images, self.preprocessing, device, masks, names=split.names, check=check)
        decode = partial(decoded, digest=self.digest, name=self.name)
        return LoadedPart(split, self.preprocessing, device, decode, self.load_masks)

    def try_files(self, part: Part, files: Sequence[Path]) -> None:
        """Decode image files, into the cache if there is one. Raises UnreadableImages for all that are no images."""
        match self._cache_of(part):
            case "sized":
                decoded(files, self.preprocessing, self.digest, self.name, all_faults=True)
            case "source":
                stored_images(files, self.preprocessing, self.digest, self.name, all_faults=True)
            case "none":
                try_files(files, self.preprocessing, self.digest, self.name)

    def _cache_of(self, part: Part) -> CachePolicy:
        """Only training images are cropped at random."""
        return "sized" if self.section.cache == "source" and part != "train" else self.section.cache

    def _from_files(self, part: Part, split: Split, files: Sequence[Path], device: torch.device) -> StreamedPart:
        kept = self._cache_of(part) == "source"
        images = (
            DecodedImages(stored_images(files, self.preprocessing, self.digest, self.name), self.preprocessing)
            if kept
            else ImageFiles(files, self.preprocessing)
        )
        targets: np.ndarray | SourceMasks | None
        if self.load_masks is None or split.targets is None:
            targets, masks = None if split.targets is None else np.asarray(split.targets), None
        else:
            self.load_masks.check_form(split.targets, files)
            masks = SourceMasks(self.load_masks, split.targets, files, self.preprocessing)
            targets = self.load_masks(split.targets, files, self.preprocessing) if kept else masks
        return StreamedPart(
            SourceSamples(images, targets, self.preprocessing, masks),
            self.preprocessing,
            device,
            None if masks is None or self.load_masks is None else self.load_masks.target,
            names=split.names if split.names is not None else range_names(len(files)),
            files=files,
        )
