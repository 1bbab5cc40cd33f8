"""Whether an embedded dataset is what its spec says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.api import DatasetSpec, Split
from zoo.data.data_loader import open_dataset
from zoo.data.splits import classes_of
from zoo.registry.lookup import Item, Registry
from zoo.testing.options import default_options


def dataset_faults(_catalogue: Registry, item: Item[Any]) -> Iterator[str]:
    """Of an embedded dataset, every split; of one that is downloaded, its spec alone."""
    spec: DatasetSpec = item.spec
    if len(spec.mean) != spec.shape[0] or len(spec.std) != spec.shape[0]:
        yield f"mean and std need a number for each of {spec.shape[0]} channels"
    if len(set(spec.classes)) != len(spec.classes):
        yield "a class is named twice"
    if not spec.embedded:
        return
    dataset = open_dataset(item, default_options(item))
    due = ("train", "test") if spec.labelled else ("predict",)
    missing = [part for part in due if part not in dataset.parts]
    if missing:
        yield f"no split serves as {' and '.join(missing)}; parts gives {dict(dataset.parts)}"
    if not dataset.fingerprint or dataset.fingerprint != open_dataset(item, default_options(item)).fingerprint:
        yield "the fingerprint is empty, or another one each time"
    classes = len(classes_of(item, dataset))
    for part, name in dataset.parts.items():
        yield from _split_faults(spec, classes, f"split '{name}'", dataset.load(name), labelled=part != "predict")


def _split_faults(spec: DatasetSpec, classes: int, label: str, split: Split, *, labelled: bool) -> Iterator[str]:
    images = split.images
    if not isinstance(images, np.ndarray):
        yield from (f"{label}: there is no file {file}" for file in images if not file.is_file())
    elif images.dtype.name != "uint8" or images.ndim != 4:
        yield f"{label}: images are {images.dtype} {images.shape}, where uint8 (N, C, H, W) is due"
        return
    elif any(due not in (None, found) for due, found in zip(spec.shape, images.shape[1:], strict=True)):
        yield f"{label}: pictures are {images.shape[1:]}, and the spec says {spec.shape}"
    if split.names is not None and len(split.names) != len(images):
        yield f"{label}: {len(images)} pictures and {len(split.names)} names"
    if split.labels is None:
        if labelled:
            yield f"{label}: it has no labels, and is not the predict split"
        return
    if split.labels.shape != (len(images),) or split.labels.dtype.kind not in "iu":
        yield f"{label}: labels are {split.labels.dtype} {split.labels.shape}, where integers ({len(images)},) are due"
    elif len(images) == 0 or split.labels.min() < 0 or split.labels.max() >= classes:
        yield f"{label}: it is empty, or has labels outside 0…{classes - 1}"
