"""Load a dataset's splits: validation, selection of classes, and ``val_fraction``."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo.api import Classes, Dataset, DatasetSpec, Part, SampleSource, Split, Target
from zoo.config.run_config import DatasetSection
from zoo.data.sample_sources import Attributed, Chosen, IndexNames
from zoo.data.targets import as_array, checked_targets
from zoo.errors import DataError, PluginError, UsageError, nearest, report_to
from zoo.registry.lookup import Item, faults_named
from zoo.support import counter_random
from zoo.support.formatting import without_surrogates


def usual_part(spec: DatasetSpec, of_labelled: Part) -> Part:
    """Return the default split: ``of_labelled``, or ``predict`` for a dataset without labels."""
    return of_labelled if spec.labelled else "predict"


def chosen_target(section: DatasetSection, target: Target, dataset: str) -> Target:
    """Return the target with the selected classes of a section.

    Raises UsageError for an unknown or repeated class, and for targets that are not classes.
    """
    if section.classes is None:
        return target
    if not isinstance(target, Classes):
        raise UsageError(
            f"dataset.classes needs targets of the kind classes, but {dataset} has {target.kind}",
            where="dataset.classes",
            fix="leave it out",
        )
    return Classes(names=_chosen_classes(section.classes, target.names, dataset))


def _chosen_classes(wanted: Sequence[str], known: Sequence[str], dataset: str) -> tuple[str, ...]:
    named = {nfc(name): name for name in known}
    unknown = [name for name in wanted if nfc(name) not in named]
    if unknown:
        near = nearest(unknown[0], known, count=1)
        raise UsageError(
            f"{dataset} has no class '{unknown[0]}'",
            where="dataset.classes",
            fix=f"did you mean {near[0]}?" if near else f"it has: {', '.join(known)}",
        )
    chosen = tuple(named[nfc(name)] for name in wanted)
    if len(set(chosen)) != len(chosen):
        raise UsageError("a class is given twice", where="dataset.classes", fix="remove the duplicate")
    return chosen


def nfc(name: str) -> str:
    """Return the Unicode normal form in which class names are compared."""
    return unicodedata.normalize("NFC", name)


def _of_classes(split: Split, known: Sequence[str], kept: Sequence[str], name: str) -> Split:
    """Return the images of the selected classes with new labels; unlabelled images all stay."""
    if isinstance(split.images, SampleSource):
        raise UsageError(
            f"the samples of split '{name}' come from a SampleSource, which does not support a choice of classes",
            where="dataset.classes",
            fix="leave it out",
        )
    if not isinstance(split.targets, np.ndarray):
        return split
    places = np.full(len(known), -1, np.int64)
    places[[known.index(each) for each in kept]] = np.arange(len(kept))
    chosen = subset(split, np.flatnonzero(places[split.targets] >= 0))
    if not len(chosen.images):
        raise DataError(
            f"split '{name}' has no image of the classes {', '.join(kept)}",
            where="dataset.classes",
            fix="choose others",
        )
    return replace(chosen, targets=places[np.asarray(chosen.targets)])


def load_parts(
    item: Item[DatasetSpec],
    dataset: Dataset,
    target: Target,
    section: DatasetSection,
    wanted: Sequence[str] | None,
    seed: int,
) -> dict[Part, Split]:
    """Return the splits; ``target`` is the dataset's own, with all its classes."""
    available: dict[Part, str] = dict(dataset.parts)
    if section.val_fraction and "val" in available:
        raise UsageError(
            f"{item.canonical} has a validation split of its own",
            where="dataset.val_fraction",
            fix="leave val_fraction at 0",
        )
    splits = {
        part: check_split(item, target, split, _loaded(item, dataset, split))
        for part, split in available.items()
        if wanted is None or part in wanted or (part == "train" and section.val_fraction and "val" in wanted)
    }
    if section.classes is not None and isinstance(target, Classes):
        splits = {
            part: _of_classes(split, target.names, section.classes, available[part]) for part, split in splits.items()
        }
    if section.val_fraction and "train" in splits:
        splits["train"], splits["val"] = _hold_out(splits["train"], section.val_fraction, seed)
    if not splits:
        raise UsageError(
            f"{item.canonical} has no {' or '.join(wanted or ())} split", fix=f"it has: {', '.join(available)}"
        )
    return splits


def _loaded(item: Item[DatasetSpec], dataset: Dataset, split: str) -> Split:
    with faults_named(item, f"read (its split '{split}')"):
        return dataset.load(split)


def check_split(item: Item[DatasetSpec], target: Target, name: str, split: Split) -> Split:
    """Return ``split`` after validation, with its targets as arrays.

    Raises PluginError if it is not a valid `Split`, DataError if it is empty or has a target out of range.
    """
    if not isinstance(split, Split):
        raise _wrong_split(item, f"split '{name}' must be a zoo.api.Split, not {type(split).__name__}")
    images = split.images
    if not isinstance(images, np.ndarray | SampleSource) and not (
        isinstance(images, Sequence) and all(isinstance(file, Path) for file in images)
    ):
        images = as_array(item, f"the images of split '{name}'", images)
    if isinstance(images, np.ndarray) and (images.dtype != np.uint8 or images.ndim != 4):
        raise _wrong_split(item, f"split '{name}' must be uint8 (N, C, H, W), not {images.dtype} {images.shape}")
    if len(images) == 0:
        raise DataError(f"split '{name}' is empty", where=item.canonical, fix="check the data folder")
    if split.names is not None and len(split.names) != len(images):
        raise _wrong_split(item, f"split '{name}' has {len(images)} images, but {len(split.names)} names")
    if split.targets is not None and isinstance(images, SampleSource):
        raise _wrong_split(
            item,
            f"split '{name}' has a SampleSource, which provides the targets: remove Split.targets",
        )
    groups = None if split.groups is None else as_array(item, f"the groups of split '{name}'", split.groups)
    if groups is not None and (groups.shape != (len(images),) or groups.dtype.kind not in "iu"):
        raise _wrong_split(
            item,
            f"split '{name}' has groups of {groups.dtype} {groups.shape}, expected an integer for each of "
            f"{len(images)} images",
        )
    targets = None if split.targets is None else checked_targets(item, target, name, split.targets, len(images))
    if isinstance(images, SampleSource):
        images = Attributed(item, name, images)
    names = None if split.names is None else [without_surrogates(str(each)) for each in split.names]
    return Split(images, targets, names, groups)


def _wrong_split(item: Item[DatasetSpec], what: str) -> PluginError:
    return PluginError(what, where=item.canonical, fix=report_to(item.plugin.distribution))


def _hold_out(train: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Split off a seeded fraction of train, stratified by class; groups are not divided."""
    count = len(train.images)
    shuffled = counter_random.order(seed, 0, count, counter_random.VALIDATION)
    classes = np.zeros(count, np.int64)
    if isinstance(train.targets, np.ndarray) and train.targets.ndim == 1 and train.targets.dtype == np.int64:
        classes = np.unique(train.targets, return_inverse=True)[1]
    if train.groups is None:
        each = (shuffled[classes[shuffled] == label] for label in range(classes.max() + 1))
        aside = np.sort(np.concatenate([rows[: round(len(rows) * fraction)] for rows in each]))
    else:
        aside = _groups_aside(shuffled, classes, train.groups, fraction)
    if len(aside) in (0, count):
        raise UsageError(
            f"dataset.val_fraction={fraction} of {count} samples leaves a split empty", fix="choose another fraction"
        )
    kept = np.setdiff1d(np.arange(count), aside)
    return subset(train, kept), subset(train, aside)


def _groups_aside(shuffled: np.ndarray, classes: np.ndarray, groups: np.ndarray, fraction: float) -> np.ndarray:
    """Return the samples of whole groups, sorted: in the order in which they first appear in ``shuffled``, all groups
    with which no class has more than its fraction."""
    _, first, group = np.unique(groups[shuffled], return_index=True, return_inverse=True)
    sizes = np.zeros((len(first), classes.max() + 1), np.int64)
    np.add.at(sizes, (group, classes[shuffled]), 1)
    left = np.array([round(int(size) * fraction) for size in sizes.sum(0)])
    taken = np.zeros(len(first), bool)
    for place in np.argsort(first):
        if (sizes[place] <= left).all():
            taken[place], left = True, left - sizes[place]
    return np.sort(shuffled[taken[group]])


def subset(split: Split, rows: np.ndarray) -> Split:
    """Some samples of a split, in the order of ``rows``."""
    names: Sequence[str]
    if split.names is not None:
        names = [split.names[row] for row in rows]
    else:  # a SampleSource may have too many samples for a list of names
        names = IndexNames(rows) if isinstance(split.images, SampleSource) else [str(row) for row in rows]
    targets = None if split.targets is None else _rows(split.targets, rows)
    return Split(_rows(split.images, rows), targets, names, None if split.groups is None else split.groups[rows])


def _rows(column: Any, rows: np.ndarray) -> Any:
    if isinstance(column, SampleSource):
        return Chosen(column, rows)
    return column[rows] if isinstance(column, np.ndarray) else [column[row] for row in rows]
