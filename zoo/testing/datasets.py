"""Checks of datasets: the content against the spec, and the fingerprint against the content."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from zoo.api import Classes, Dataset, DatasetSpec, Mask, MultiLabel, SampleSource, Split, Target
from zoo.data.open_dataset import open_dataset
from zoo.data.splits import check_split
from zoo.data.targets import checked_targets, target_of
from zoo.errors import ZooError
from zoo.registry.lookup import Item, Registry, options_model
from zoo.registry.plugin_isolation import isolated
from zoo.testing.faults import Finding, guarded
from zoo.testing.fixtures import OTHER_SEED, other_generators
from zoo.testing.options import default_options

LOOKED_AT = 2000
"""The number of samples per split that are checked, evenly spaced."""


def dataset_findings(_catalogue: Registry, item: Item[Any], data: Mapping[str, str]) -> Iterator[Finding]:
    """Check every split of an embedded dataset and of one with a path in ``data``; of any other, only the spec."""
    spec: DatasetSpec = item.spec
    if len(spec.mean) != spec.shape[0] or len(spec.std) != spec.shape[0]:
        yield Finding("spec", f"mean and std must have {spec.shape[0]} values, one per channel")
    if len(set(spec.classes)) != len(spec.classes):
        yield Finding("spec", "a class name occurs twice")
    if spec.embedded or spec.name in data:
        given = {} if spec.path_option is None else {spec.path_option: data[spec.name]}
        opened = list[tuple[Dataset, Target]]()
        with warnings.catch_warnings():
            yield from guarded("open", _open_findings(item, given, opened))
        for dataset, target in opened:
            yield from _content_findings(item, given, dataset, target)


def _open_findings(item: Item[Any], given: dict[str, Any], opened: list[tuple[Dataset, Target]]) -> Iterator[Finding]:
    """Append the dataset and its target to ``opened``."""
    dataset = open_dataset(item, default_options(item, given))
    opened.append((dataset, target_of(item, dataset)))
    yield from ()


def _content_findings(item: Item[Any], given: dict[str, Any], dataset: Dataset, target: Target) -> Iterator[Finding]:
    due = ("train", "test") if item.spec.labelled else ("predict",)
    missing = [part for part in due if part not in dataset.parts]
    if missing:
        yield Finding("parts", f"parts has no {' and '.join(missing)} split: {dict(dataset.parts)}")
    splits: dict[str, Split] = {}
    for part, name in dataset.parts.items():
        yield from guarded("split", _split_findings(item, dataset, target, part, name, splits))
    if len(splits) == len(dataset.parts):
        yield from guarded("leak", _leak_findings(dataset.parts, splits))
        yield from guarded("fingerprint", _fingerprint_findings(item, given, dataset))


def _split_findings(
    item: Item[Any], dataset: Dataset, target: Target, part: str, name: str, splits: dict[str, Split]
) -> Iterator[Finding]:
    """Add the split to ``splits`` if it can be loaded."""
    split = splits[part] = check_split(item, target, name, dataset.load(name))
    label, images, rows, due = f"split '{name}'", split.images, _rows(len(split.images)), item.spec.shape
    if isinstance(images, SampleSource):
        targets = images.targets(rows)
        if targets is not None:
            targets = checked_targets(item, target, name, targets, len(rows))
        shapes = {image.shape for image in images.images(rows[:20])}
    else:
        targets = split.targets if isinstance(split.targets, np.ndarray) else None
        shapes = {images.shape[1:]} if isinstance(images, np.ndarray) else set()
        files = () if isinstance(images, np.ndarray) else images
        yield from (
            Finding("split", f"{label}: the file {file} does not exist") for file in files if not file.is_file()
        )
    for shape in shapes:
        if len(shape) != 3 or any(side not in (None, found) for side, found in zip(due, shape, strict=True)):
            yield Finding("split", f"{label}: images have shape {shape}, but the spec has {due}")
    if split.targets is None and targets is None:
        if part != "predict":
            yield Finding("split", f"{label}: it has no targets; only the predict split may have none")
    elif targets is not None and len(rows) == len(images):
        empty = _without_samples(target, np.asarray(targets))
        if empty is not None:
            yield Finding("classes", f"{label}: no sample has the class {empty!r}")


def _without_samples(target: Target, targets: np.ndarray) -> str | None:
    """Return the first class or label without samples, or None."""
    match target:
        case Classes() | Mask():
            there = set(np.unique(targets).tolist())
            return next((name for place, name in enumerate(target.names) if place not in there), None)
        case MultiLabel():
            return next(
                (name for name, here in zip(target.names, targets.max(0).tolist(), strict=True) if not here), None
            )
        case _:
            return None


def _leak_findings(parts: Mapping[Any, str], splits: Mapping[str, Split]) -> Iterator[Finding]:
    """Check that the validation and test splits are not subsets of the train split, in any order."""
    if "train" not in splits:
        return
    train = _digests(splits["train"])
    for part in ("val", "test"):
        if part in splits and set(_digests(splits[part])) <= set(train):
            yield Finding("leak", f"all images of split '{parts[part]}' ({part}) are also in the train split")


def _fingerprint_findings(item: Item[Any], given: dict[str, Any], dataset: Dataset) -> Iterator[Finding]:
    """Check the fingerprint: equal when the dataset is opened again, different when an option changes the content.

    Opening it must not draw from the random generators of the process.
    """
    options, changed = default_options(item, given), list[str]()
    content = _content(dataset)
    strictly = isolated(item.plugin.namespace, "being opened and read", changed.append, draws=False)
    with torch.random.fork_rng(devices=[]), other_generators():
        torch.manual_seed(OTHER_SEED)  # another state, so that a dataset that sets a seed is found
        with strictly:
            again = open_dataset(item, options)
            content_again = _content(again)
    yield from (Finding("global_state", text.removesuffix("; restored")) for text in changed)
    if not dataset.fingerprint or dataset.fingerprint != again.fingerprint:
        yield Finding("fingerprint", "the fingerprint is empty or changes each time the dataset is opened")
    if content_again != content:
        yield Finding("fingerprint", "the content changes each time the dataset is opened")
        return
    for name, value in options.items():
        for other_value in _others(value):
            try:
                options_model(item).model_validate({**options, name: other_value})
                other = open_dataset(item, {**options, name: other_value})
                differs = other.fingerprint == dataset.fingerprint and _content(other) != content
            except (ValidationError, ZooError):
                continue  # not a valid value of the option
            if differs:
                text = f"with {name}={other_value!r} the content changes, but the fingerprint does not"
                yield Finding("fingerprint", text)


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
        digest.update(f"{part} {len(split.images)} {' '.join(_digests(split))}".encode(errors="surrogateescape"))
        if isinstance(targets, np.ndarray):
            digest.update(np.ascontiguousarray(targets[rows] if len(targets) != len(rows) else targets).tobytes())
    return digest.hexdigest()


def _digests(split: Split) -> list[str]:
    """Return the digests of the checked images, in order; for files, their paths."""
    rows = _rows(len(split.images))
    if isinstance(split.images, np.ndarray):
        images = (split.images[row] for row in rows)
    elif isinstance(split.images, SampleSource):
        images = (np.asarray(image) for image in split.images.images(rows))
    else:
        return [str(split.images[row]) for row in rows]
    return [hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in images]
