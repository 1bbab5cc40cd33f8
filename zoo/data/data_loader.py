"""Open a dataset for a network: splits, target and preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from zoo.api import Dataset, DatasetSpec, Mask, Part, SampleSource, Split, Target
from zoo.config.run_config import DatasetSection
from zoo.contract.targets import class_names
from zoo.data.data_folder import Store
from zoo.data.decoding import faulty
from zoo.data.loaded_part import LoadedPart
from zoo.data.masks import MaskLoader
from zoo.data.open_dataset import open_dataset
from zoo.data.part_opening import PartOpener
from zoo.data.preprocessing import Preprocessing, plan
from zoo.data.splits import chosen_target, load_parts, subset
from zoo.data.streamed_part import CheckTargets, StreamedPart
from zoo.data.targets import checked_targets, target_of
from zoo.data.value_range import choose_value_range
from zoo.errors import DataError, UsageError
from zoo.registry.lookup import Item, Registry, calls_of

AnyPart = LoadedPart | StreamedPart

Digest = Callable[[Path], str]
"""Returns the sha256 of a file."""

PrepareImages = Callable[[tuple[int, int | None, int | None]], tuple[Preprocessing, list[str]]]
"""Returns the preprocessing for images of a shape (C, H, W; None for sides that vary), and a sentence for each
change."""

LEARNED_FROM: tuple[Part, ...] = ("train", "val")
"""The splits made from the train split; the second only with ``val_fraction``."""


@dataclass(frozen=True)
class Data:
    """A dataset made ready for one network; the implementation of `zoo.api.DataView`."""

    name: str
    target: Target
    parts: dict[Part, AnyPart]
    preprocessing: Preprocessing
    fingerprint: str
    notes: tuple[str, ...]
    split_names: Mapping[str, str] = field(default_factory=dict)
    """The dataset's own name for the split that is each part."""
    quarantine: tuple[dict[str, str], ...] = ()
    """Skipped training images: split, sample, reason."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names; empty for other targets."""
        return class_names(self.target)

    @property
    def samples(self) -> dict[str, int]:
        return {part: len(view) for part, view in self.parts.items()}

    def part(self, name: str) -> AnyPart:
        """Return a split. Raises UsageError if the data does not have it."""
        if name not in self.parts:
            raise UsageError(f"{self.name} has no {name} split", fix=f"choose one of: {', '.join(self.parts)}")
        return self.parts[name]


def open_data(
    registry: Registry,
    section: DatasetSection,
    device: torch.device,
    *,
    prepare: PrepareImages | None = None,
    preprocessing: Preprocessing | None = None,
    parts: Sequence[str] | None = None,
    seed: int = 0,
    download: bool = True,
    held_out: bool = False,
) -> Data:
    """Open a dataset with the ``prepare_images`` of a plan, with the ``preprocessing`` of an earlier run, or for no
    particular network. ``parts`` limits the splits to load.

    ``held_out`` opens the data for the evaluation of a trained model. ``download=False`` uses only existing files.

    Raises DataError for missing or invalid files, UsageError if the network does not support the images.
    """
    item = registry.dataset(section.name)
    store = Store(download=download, alternatives=_embedded(registry, item))
    dataset = open_dataset(item, section.options, store, held_out=held_out)
    whole = target_of(item, dataset)
    target = chosen_target(section, whole, item.canonical)
    if section.classes is not None:
        section = section.model_copy(update={"classes": list(class_names(target))})
    with calls_of([item], "reading the dataset"):
        splits = load_parts(item, dataset, whole, section, parts, seed)
    changes: list[str] = []
    digest = cache(store.digest)  # each file is needed several times
    if preprocessing is None:
        preprocessing, changes = _choose_preprocessing(item, section, dataset, splits, digest, prepare)
    if section.val_fraction and "val" in splits and (parts is None or "train" in parts):
        changes.append(f"{section.val_fraction:.0%} of train is held out as the validation split")
    load_masks = MaskLoader(target, digest, item.spec.name) if isinstance(target, Mask) else None
    opener = PartOpener(section, preprocessing, digest, item.spec.name, load_masks)
    quarantine = _leave_out_faulty(splits, opener) if section.skip_bad_images else []
    if quarantine:
        changes.append(f"{len(quarantine):,} training images that cannot be read are skipped; see quarantine.json")
    loaded: dict[Part, AnyPart] = {}
    for part, split in splits.items():
        name = dataset.parts.get(part, dataset.parts.get("train", part))
        check: CheckTargets = partial(checked_targets, item, target, name)
        loaded[part] = opener.open(part, split, device, check)
    fingerprint = dataset.fingerprint
    store.save_digests()
    return Data(
        name=item.canonical,
        target=target,
        parts=loaded,
        preprocessing=preprocessing,
        fingerprint=fingerprint,
        notes=(*store.notes, *changes),
        split_names={str(part): name for part, name in dataset.parts.items()},
        quarantine=tuple(quarantine),
    )


def _embedded(registry: Registry, item: Item[DatasetSpec]) -> list[str]:
    """Return embedded datasets with targets of the same kind, which could be used instead."""
    specs = [other.spec for other in registry.items("dataset")]
    kinds = set(item.spec.targets)
    return [spec.name for spec in specs if spec.embedded and kinds & set(spec.targets)]


def _choose_preprocessing(
    item: Item[DatasetSpec],
    section: DatasetSection,
    dataset: Dataset,
    splits: Mapping[Part, Split],
    digest: Digest,
    prepare: PrepareImages | None,
) -> tuple[Preprocessing, list[str]]:
    """Return the preprocessing for the shape and value range of the images, and a sentence for each change."""
    images = next(iter(splits.values())).images
    shape = images.shape[1:] if isinstance(images, np.ndarray) else item.spec.shape
    found = prepare(shape) if prepare is not None else plan(section, shape, item.spec.mean, item.spec.std)
    preprocessing, changes = found
    value_range, told = choose_value_range(section, dataset, splits, digest, item.spec.name)
    return preprocessing.model_copy(update={"value_range": value_range}), [*changes, *([told] if told else [])]


def _leave_out_faulty(splits: dict[Part, Split], opener: PartOpener) -> list[dict[str, str]]:
    """Remove unreadable images from the train splits, and return them."""
    quarantine: list[dict[str, str]] = []
    for part in LEARNED_FROM if opener.section.val_fraction else LEARNED_FROM[:1]:
        if part in splits:
            splits[part], left_out = _without_faulty(splits[part], part, opener)
            quarantine += left_out
    return quarantine


def _without_faulty(split: Split, part: Part, opener: PartOpener) -> tuple[Split, list[dict[str, str]]]:
    """A split without the files that are no images.

    Raises DataError where that leaves a class without any, UsageError for samples that cannot be tried beforehand.
    """
    if isinstance(split.images, SampleSource):
        raise UsageError(
            f"the samples of {opener.name} are made on demand, and cannot be tried beforehand",
            where="dataset.skip_bad_images",
            fix="leave it out",
        )
    if isinstance(split.images, np.ndarray):
        return split, []
    found = faulty(split.images, opener.digest, partial(opener.try_files, part))
    names = split.names if split.names is not None else [str(file) for file in split.images]
    kept = subset(split, np.array([row for row in range(len(split.images)) if row not in found], np.int64))
    if _are_classes(split) and set(np.asarray(split.targets)) != set(np.asarray(kept.targets)):
        raise DataError(
            f"no image of a class of the {part} split can be read", where=opener.name, fix="see `zoo data check`"
        )
    return kept, [
        {"part": part, "sample": names[row], "file": str(split.images[row]), "reason": reason}
        for row, reason in found.items()
    ]


def _are_classes(split: Split) -> bool:
    return isinstance(split.targets, np.ndarray) and split.targets.ndim == 1
