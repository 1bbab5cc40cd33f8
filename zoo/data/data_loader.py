"""From a dataset to batches on the device, by one fast path.

A part is one uint8 tensor, brought to the network's size once, and integer labels. A batch is an index into it and one
fused normalise: there is no Python call a sample. Small parts live on the device as a whole; others stay in host memory
and travel a block at a time.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.api import Batch, Dataset, DatasetSpec, Part, Split
from zoo.config.run_config import DatasetSection
from zoo.data.augmentation import Augmenter
from zoo.data.data_folder import Store
from zoo.data.decoding import decoded, faulty, picture_of
from zoo.data.preprocessing import Preprocessing, plan
from zoo.data.splits import chosen_classes, classes_of, load_parts, subset
from zoo.data.value_range import choose_value_range
from zoo.errors import DataError, UsageError
from zoo.registry.lookup import Item, Registry, calls_of, load_object
from zoo.runtime import read_picture, to_chw

Augment = Callable[[Tensor, np.ndarray], Tensor]
"""Pictures (N, C, H, W), uint8 on the device, and their indices (N,) in the part → pictures of that size, 0–255, in a
tensor of their own."""

Digest = Callable[[Path], str]
"""A file → its sha256."""

PrepareImages = Callable[[tuple[int, int | None, int | None]], tuple[Preprocessing, list[str]]]
"""The shape of images (C, H, W; None where they differ) → how they are prepared, and a sentence for each change to
them."""

Decode = Callable[[Sequence[Path], Preprocessing], np.ndarray]
"""Files of pictures → uint8 (N, channels, height, width)."""

BLOCK_BYTES = 4 << 20
"""Uint8 bytes gathered and normalised at once: batches are slices of such a block, so that small pictures cost few
calls."""
RESIDENT_BYTES = 4 << 30
"""A part no larger than this is kept on the device as a whole."""


LEARNED_FROM: tuple[Part, ...] = ("train", "val")
"""Parts made of the train split: the second only where it is held out of it."""
ORIGINALS = 20
"""Pictures a part keeps as the dataset gave them, to show and to try predictions on."""


class LoadedPart:
    """One part, ready for a network; the implementation of `zoo.api.PartView`."""

    def __init__(
        self, split: Split, preprocessing: Preprocessing, device: torch.device, decode: Decode | None = None
    ) -> None:
        """``decode`` brings files to the network's size; a split of arrays needs none."""
        self.device = device
        self.memory_format = torch.contiguous_format
        """In which batches are given; a training sets it to its own."""
        arrays = (
            preprocessing.apply(split.images)
            if isinstance(split.images, np.ndarray)
            else (decode or _no_decoder)(split.images, preprocessing)
        )
        # torch wants an array it could write to: a dataset's read-only one is copied, others are not
        images = torch.from_numpy(np.require(arrays, requirements=["C", "W"]))
        self._images = images.to(device) if images.nbytes <= RESIDENT_BYTES else images
        self._labels = (
            None
            if split.labels is None
            else torch.from_numpy(np.asarray(split.labels, np.int64)).to(self._images.device)
        )
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
            for values in (preprocessing.mean, preprocessing.std)
        )
        self._mean = preprocessing.mean
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._read = partial(
            read_picture, channels=3, max_pixels=preprocessing.max_pixels, value_range=preprocessing.value_range
        )
        self._given = split.images[:ORIGINALS]
        self.names: Sequence[str] = split.names if split.names is not None else range_names(len(images))

    def __len__(self) -> int:
        return len(self._images)

    @property
    def files(self) -> Sequence[Path]:
        """The files of the first images, where the dataset consists of files."""
        return [] if isinstance(self._given, np.ndarray) else self._given

    @cached_property
    def originals(self) -> list[np.ndarray]:
        """The first pictures as the dataset has them, uint8 (C, h, w) of any size."""
        return (
            list(self._given)
            if isinstance(self._given, np.ndarray)
            else [to_chw(picture_of(file, self._read)) for file in self._given]
        )

    @property
    def labels(self) -> np.ndarray | None:
        return None if self._labels is None else self._labels.cpu().numpy()

    @cached_property
    def content(self) -> str:
        """A digest of all inputs, as a network gets them."""
        digest = hashlib.blake2b(
            f"{tuple(self._images.shape)} {self._scale.tolist()} {self._shift.tolist()}".encode(), digest_size=32
        )
        for rows in self._images.split(1024):  # type: ignore[no-untyped-call]
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
        per_block = max(1, BLOCK_BYTES // (batch_size * max(1, self._images[0].nbytes)))
        skipped_blocks, skipped = divmod(first, per_block)
        blocks = self._blocks(indices[skipped_blocks * per_block * batch_size :], batch_size, per_block, augment)
        return itertools.islice(blocks, skipped, None)

    def _blocks(self, indices: np.ndarray, batch_size: int, per_block: int, augment: Augment | None) -> Iterator[Batch]:
        chosen = torch.from_numpy(np.ascontiguousarray(indices)).to(self._images.device)
        block = batch_size * per_block
        for start in range(0, len(chosen), block):
            rows = chosen[start : start + block]
            images = self._images.index_select(0, rows).to(self.device)
            if augment is not None:
                images = augment(images, indices[start : start + block])
            laid = images.contiguous(memory_format=self.memory_format)  # as bytes: a quarter of what floats would be
            inputs = laid.to(torch.float32).mul_(self._scale).add_(self._shift)
            labels = None if self._labels is None else self._labels.index_select(0, rows).to(self.device)
            columns = (_pieces(column, batch_size) for column in (inputs, labels, rows.to(self.device)))
            yield from map(Batch, *columns)

    def augmenter(self, specification: Sequence[dict[str, dict[str, Any]]], seed: int) -> Augmenter:
        """The random changes of a specification for this part's pictures."""
        return Augmenter(specification, seed, self._images, self._mean)

    def pictures(self, indices: Iterable[int]) -> np.ndarray:
        """uint8 (n, H, W, C)."""
        chosen = torch.as_tensor(list(indices), dtype=torch.int64, device=self._images.device)
        return self._images.index_select(0, chosen).permute(0, 2, 3, 1).cpu().numpy()


def _pieces(column: Tensor | None, size: int) -> Iterator[Any]:
    """A column of batches: None for each of them where there is none."""
    return itertools.repeat(None) if column is None else iter(column.split(size))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Data:
    """A dataset made ready for one network; the implementation of `zoo.api.DataView`."""

    name: str
    classes: tuple[str, ...]
    parts: dict[Part, LoadedPart]
    preprocessing: Preprocessing
    fingerprint: str
    notes: tuple[str, ...]
    split_names: Mapping[str, str] = field(default_factory=dict)
    """The dataset's own name for the split that is each part."""
    quarantine: tuple[dict[str, str], ...] = ()
    """Training pictures that cannot be read and were left out, as asked: part, sample, reason."""

    @property
    def samples(self) -> dict[str, int]:
        return {part: len(view) for part, view in self.parts.items()}

    def part(self, name: str) -> LoadedPart:
        """Raises UsageError where this data has no such part."""
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
    """Open a dataset for a plan (its ``prepare_images``), exactly as an earlier run's ``preprocessing`` says, or else
    for no network in particular. ``parts`` limits what is loaded.

    With ``held_out`` the data is opened to evaluate a trained model on. Without ``download`` only what is on this
    machine is opened.

    Raises DataError where files are missing or wrong, UsageError where pictures and network do not go together.
    """
    item = registry.dataset(section.name)
    alike = [
        other.spec.name
        for other in registry.items("dataset")
        if other.spec.embedded and other.spec.labelled == item.spec.labelled
    ]
    store = Store(download=download, alternatives=alike)
    dataset = open_dataset(item, section.options, store, held_out=held_out)
    classes = chosen_classes(section, classes_of(item, dataset), item.canonical)
    if section.classes is not None:
        section = section.model_copy(update={"classes": list(classes)})
    with calls_of([item], "reading the dataset"):
        splits = load_parts(item, dataset, section, parts, seed)
    changes: list[str] = []
    digest = cache(store.digest)  # each file is asked for several times, and looked at once
    if preprocessing is None:
        images = next(iter(splits.values())).images
        shape = images.shape[1:] if isinstance(images, np.ndarray) else item.spec.shape
        preprocessing, changes = (
            prepare(shape) if prepare is not None else plan(section, shape, item.spec.mean, item.spec.std)
        )
        value_range, told_values = choose_value_range(section, dataset, splits, digest, item.spec.name)
        preprocessing = preprocessing.model_copy(update={"value_range": value_range})
        changes += [told_values] if told_values else []
    if section.val_fraction and "val" in splits and (parts is None or "train" in parts):
        changes.append(f"{section.val_fraction:.0%} of train is held out as the validation split")
    decode: Decode = partial(decoded, digest=digest, name=item.spec.name)
    quarantine: list[dict[str, str]] = []
    if section.skip_bad_images:
        for part in LEARNED_FROM if section.val_fraction else LEARNED_FROM[:1]:
            if part in splits:
                splits[part], left_out = _without_faulty(splits[part], part, preprocessing, digest, item.spec.name)
                quarantine += left_out
        changes += (
            [f"{len(quarantine):,} training pictures that cannot be read are left out; quarantine.json names them"]
            if quarantine
            else []
        )
    loaded = {part: LoadedPart(split, preprocessing, device, decode) for part, split in splits.items()}
    fingerprint = dataset.fingerprint
    store.save_digests()
    return Data(
        item.canonical,
        classes,
        loaded,
        preprocessing,
        fingerprint,
        (*store.notes, *changes),
        {str(part): name for part, name in dataset.parts.items()},
        tuple(quarantine),
    )


def _without_faulty(
    split: Split, part: Part, preprocessing: Preprocessing, digest: Digest, name: str
) -> tuple[Split, list[dict[str, str]]]:
    """A split without the files that are no pictures. Raises DataError where that leaves a class without any."""
    if isinstance(split.images, np.ndarray):
        return split, []
    found = faulty(split.images, preprocessing, digest, name)
    names = split.names if split.names is not None else [str(file) for file in split.images]
    kept = subset(split, np.array([row for row in range(len(split.images)) if row not in found], np.int64))
    if split.labels is not None and set(split.labels) != set(kept.labels if kept.labels is not None else ()):
        raise DataError(
            f"of a class of the {part} split, no picture can be read", where=name, fix="see `zoo data check`"
        )
    return kept, [
        {"part": part, "sample": names[row], "file": str(split.images[row]), "reason": reason}
        for row, reason in found.items()
    ]


def open_dataset(
    item: Item[DatasetSpec], options: dict[str, Any], store: Store | None = None, *, held_out: bool = False
) -> Dataset:
    """With ``held_out``, as the dataset opens it to evaluate a trained model on, where it has a way of its own for
    that."""
    build = load_object((held_out and item.spec.held_out) or item.spec.target, item)
    with calls_of([item], "opening the dataset"):
        opened: Dataset = build(store or Store(), **options)
    return opened


def _no_decoder(files: Sequence[Path], _preprocessing: Preprocessing) -> np.ndarray:
    raise TypeError(f"{len(files)} files are given, and nothing to decode them with")


def range_names(count: int) -> list[str]:
    return [str(index) for index in range(count)]
