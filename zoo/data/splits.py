"""A dataset's splits as parts: checked, of the classes that are kept, with some of train put aside where that is asked
for."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.api import Dataset, DatasetSpec, Part, Split
from zoo.config.run_config import DatasetSection
from zoo.errors import DataError, PluginError, UsageError, nearest
from zoo.registry.lookup import Item
from zoo.support import counter_random
from zoo.support.formatting import without_surrogates


def classes_of(item: Item[DatasetSpec], dataset: Dataset) -> tuple[str, ...]:
    """The classes a spec names, else those that the opened dataset found.

    Raises DataError where a dataset with labels has none.
    """
    classes = item.spec.classes or tuple(getattr(dataset, "classes", ()))
    if not classes and item.spec.labelled:
        raise DataError(
            "neither the dataset nor its spec says what the classes are",
            where=item.canonical,
            fix="report it to the plugin's authors",
        )
    return classes


def usual_part(spec: DatasetSpec, of_labelled: Part) -> Part:
    """The part to look at where none is named: that one, and of pictures without labels the only one that they can
    have."""
    return of_labelled if spec.labelled else "predict"


def chosen_classes(section: DatasetSection, known: Sequence[str], dataset: str) -> tuple[str, ...]:
    """The classes that a section keeps. Raises UsageError for one that is unknown or named twice."""
    if section.classes is None:
        return tuple(known)
    named = {nfc(name): name for name in known}
    unknown = [name for name in section.classes if nfc(name) not in named]
    if unknown:
        near = nearest(unknown[0], known, count=1)
        raise UsageError(
            f"{dataset} has no class '{unknown[0]}'",
            where="dataset.classes",
            fix=f"did you mean {near[0]}?" if near else f"it has: {', '.join(known)}",
        )
    chosen = tuple(named[nfc(name)] for name in section.classes)
    if len(set(chosen)) != len(chosen):
        raise UsageError("a class is named twice", where="dataset.classes", fix="name each once")
    return chosen


def nfc(name: str) -> str:
    """The form in which names of classes are compared: one name may be written in several Unicode forms."""
    return unicodedata.normalize("NFC", name)


def _of_classes(split: Split, known: Sequence[str], kept: Sequence[str], name: str) -> Split:
    """The pictures of some classes, labelled by their places among these; pictures without labels all stay."""
    if split.labels is None:
        return split
    places = np.full(len(known), -1, np.int64)
    places[[known.index(each) for each in kept]] = np.arange(len(kept))
    chosen = subset(split, np.flatnonzero(places[split.labels] >= 0))
    if not len(chosen.images):
        raise DataError(
            f"split '{name}' has no picture of the classes {', '.join(kept)}",
            where="dataset.classes",
            fix="choose others",
        )
    return Split(chosen.images, places[chosen.labels], chosen.names)


def load_parts(
    item: Item[DatasetSpec], dataset: Dataset, section: DatasetSection, wanted: Sequence[str] | None, seed: int
) -> dict[Part, Split]:
    available: dict[Part, str] = dict(dataset.parts)
    known = classes_of(item, dataset)
    if section.val_fraction and "val" in available:
        raise UsageError(
            f"{item.canonical} has a validation split of its own",
            where="dataset.val_fraction",
            fix="leave val_fraction at 0",
        )
    splits = {
        part: check_split(item, len(known), split, dataset.load(split))
        for part, split in available.items()
        if wanted is None or part in wanted or (part == "train" and section.val_fraction and "val" in wanted)
    }
    if section.classes is not None:
        splits = {part: _of_classes(split, known, section.classes, available[part]) for part, split in splits.items()}
    if section.val_fraction and "train" in splits:
        splits["train"], splits["val"] = _hold_out(splits["train"], section.val_fraction, seed)
    if not splits:
        raise UsageError(
            f"{item.canonical} has no {' or '.join(wanted or ())} split", fix=f"it has: {', '.join(available)}"
        )
    return splits


def check_split(item: Item[DatasetSpec], classes: int, name: str, split: Split) -> Split:
    """What a dataset gave as split ``name``, where it has so many ``classes``.

    Raises PluginError where it is no split, DataError where it is empty or has a label of no class.
    """
    if not isinstance(split, Split):
        raise _wrong_split(item, f"split '{name}' must be a zoo.api.Split, not {type(split).__name__}")
    images = split.images
    if not isinstance(images, np.ndarray) and not (
        isinstance(images, Sequence) and all(isinstance(file, Path) for file in images)
    ):
        images = _array(item, f"the images of split '{name}'", images)
    labels = None if split.labels is None else _array(item, f"the labels of split '{name}'", split.labels)
    if isinstance(images, np.ndarray) and (images.dtype != np.uint8 or images.ndim != 4):
        raise _wrong_split(item, f"split '{name}' must be uint8 (N, C, H, W), not {images.dtype} {images.shape}")
    if len(images) == 0:
        raise DataError(f"split '{name}' is empty", where=item.canonical, fix="check the data folder")
    if split.names is not None and len(split.names) != len(images):
        raise _wrong_split(item, f"split '{name}' has {len(images)} pictures and {len(split.names)} names")
    if labels is not None:
        _check_labels(item, classes, name, labels, len(images))
    return Split(
        images, labels, None if split.names is None else [without_surrogates(str(each)) for each in split.names]
    )


def _check_labels(item: Item[DatasetSpec], classes: int, name: str, labels: np.ndarray, count: int) -> None:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise _wrong_split(
            item, f"the labels of split '{name}' must be integers (N,), not {labels.dtype} {labels.shape}"
        )
    if len(labels) != count:
        raise _wrong_split(item, f"split '{name}' has {count} pictures and {len(labels)} labels")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        wrong = high if high >= classes else low
        raise DataError(
            f"split '{name}' has the label {wrong}, outside 0…{classes - 1}",
            where=item.canonical,
            fix="correct the labels of the data",
        )


def _array(item: Item[DatasetSpec], what: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:  # rows of different lengths
        raise _wrong_split(item, f"{what} are no array: {error}") from error


def _wrong_split(item: Item[DatasetSpec], what: str) -> PluginError:
    return PluginError(what, where=item.canonical, fix=f"report it to the authors of {item.plugin.distribution}")


def _hold_out(train: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Put a seeded fraction of train aside, the same share of every class."""
    count = len(train.images)
    shuffled = counter_random.order(seed, 0, count, counter_random.HOLDOUT)
    groups = (
        [shuffled]
        if train.labels is None
        else [shuffled[train.labels[shuffled] == label] for label in np.unique(train.labels)]
    )
    aside = np.sort(np.concatenate([group[: round(len(group) * fraction)] for group in groups]))
    if len(aside) in (0, count):
        raise UsageError(
            f"dataset.val_fraction={fraction} of {count} samples leaves a part empty", fix="choose another fraction"
        )
    kept = np.setdiff1d(np.arange(count), aside)
    return subset(train, kept), subset(train, aside)


def subset(split: Split, rows: np.ndarray) -> Split:
    names = [split.names[row] for row in rows] if split.names is not None else [str(row) for row in rows]
    images = split.images[rows] if isinstance(split.images, np.ndarray) else [split.images[row] for row in rows]
    return Split(images, None if split.labels is None else split.labels[rows], names)
