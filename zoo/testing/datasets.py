"""Whether an embedded dataset is what its spec says, and its fingerprint what its content is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from zoo.api import Classes, Dataset, DatasetSpec, SampleSource, Split, Target
from zoo.data.open_dataset import open_dataset
from zoo.data.splits import check_split
from zoo.data.targets import target_of
from zoo.errors import ZooError
from zoo.registry.lookup import Item, Registry, options_model
from zoo.testing.options import default_options

LOOKED_AT = 2000
"""Samples of a split that are looked at, spread over it."""


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
    target, splits = target_of(item, dataset), dict[str, Split]()
    for part, name in dataset.parts.items():
        try:
            splits[part] = check_split(item, target, name, dataset.load(name))
        except ZooError as error:
            yield str(error)
            continue
        yield from _split_faults(spec, target, f"split '{name}'", splits[part], labelled=part != "predict")
    if len(splits) == len(dataset.parts):
        yield from _leak_faults(dataset.parts, splits)
        yield from _fingerprint_faults(item, dataset)


def _split_faults(spec: DatasetSpec, target: Target, label: str, split: Split, *, labelled: bool) -> Iterator[str]:
    images, rows = split.images, _rows(len(split.images))
    if isinstance(images, SampleSource):
        targets = images.targets(rows)
        shapes = {np.asarray(image).shape for image in images.images(rows[:20])}
    else:
        targets = split.targets if isinstance(split.targets, np.ndarray) else None
        shapes = {images.shape[1:]} if isinstance(images, np.ndarray) else set()
        if not isinstance(images, np.ndarray):
            yield from (f"{label}: there is no file {file}" for file in images if not file.is_file())
    for shape in shapes:
        if any(due not in (None, found) for due, found in zip(spec.shape, shape, strict=True)):
            yield f"{label}: images are {shape}, and the spec says {spec.shape}"
    if split.targets is None and targets is None:
        if labelled:
            yield f"{label}: it has no targets, and is not the predict split"
        return
    if isinstance(target, Classes) and targets is not None and len(rows) == len(images):
        empty = [name for place, name in enumerate(target.names) if not (np.asarray(targets) == place).any()]
        if empty:
            yield f"{label}: no sample has the class {empty[0]!r}"


def _leak_faults(parts: Mapping[Any, str], splits: Mapping[str, Split]) -> Iterator[str]:
    """Two splits of the same images: what is learned from is not evaluated on."""
    digests = {part: _images_digest(split) for part, split in splits.items()}
    for part in ("val", "test"):
        if part in digests and "train" in digests and digests[part] == digests["train"]:
            yield f"split '{parts[part]}' ({part}) has the same images as the train split"


def _fingerprint_faults(item: Item[Any], dataset: Dataset) -> Iterator[str]:
    """The same content has the same fingerprint, and other content another one: opened again, and with each option
    changed."""
    options = default_options(item)
    content, again = _content(dataset), open_dataset(item, options)
    if not dataset.fingerprint or dataset.fingerprint != again.fingerprint:
        yield "the fingerprint is empty, or another one each time"
    if _content(again) != content:
        yield "its content differs each time it is opened"
        return
    for name, value in options.items():
        for changed in _others(value):
            try:
                options_model(item).model_validate({**options, name: changed})
                other = open_dataset(item, {**options, name: changed})
            except (ValidationError, ZooError):
                continue  # the option does not take it
            if other.fingerprint == dataset.fingerprint and _content(other) != content:
                yield f"with {name}={changed!r} the content is another, and the fingerprint the same"


def _others(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    return [value / 2] if isinstance(value, float) and value else []


def _rows(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).round().astype(np.int64))


def _content(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    for part, name in sorted(dataset.parts.items()):
        split = dataset.load(name)
        rows = _rows(len(split.images))
        targets = split.images.targets(rows) if isinstance(split.images, SampleSource) else split.targets
        digest.update(f"{part} {len(split.images)} {_images_digest(split)}".encode())
        if isinstance(targets, np.ndarray):
            digest.update(np.ascontiguousarray(targets[rows] if len(targets) != len(rows) else targets).tobytes())
    return digest.hexdigest()


def _images_digest(split: Split) -> str:
    digest, rows = hashlib.sha256(), _rows(len(split.images))
    if isinstance(split.images, np.ndarray):
        digest.update(np.ascontiguousarray(split.images[rows]).tobytes())
    elif isinstance(split.images, SampleSource):
        for image in split.images.images(rows):
            digest.update(np.ascontiguousarray(image).tobytes())
    else:
        digest.update("\n".join(str(split.images[row]) for row in rows).encode(errors="surrogateescape"))
    return digest.hexdigest()
