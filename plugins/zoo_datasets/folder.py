"""A user's own images, in a folder or in an archive of one.

    PATH/train/CLASS/…  PATH/val/CLASS/…  PATH/test/CLASS/…    val is optional; test may have no classes: then it is
                                                               to be predicted
    PATH/train/CLASS.NUMBER.jpg                                in place of folders, each image may have its class in
                                                               its name (cat.0.jpg)
    PATH/CLASS/…                                               divided once, the same fraction of every class, by a seed
    PATH and a CSV file with the columns file, label[, split]; or with several labels or numbers for each image
                                                               (`folder_kind`)
    PATH/images/…  PATH/masks/…                                a mask for each image (`folder_masks`)

Purpose of the splits: train is for training. A labelled test is the test split, and val the validation split. Without a
labelled test, val is the test split. Without either, a fraction of train becomes the test split, except for the
evaluation of a trained model (`open_held_out`). Classes are sorted by name, and images alternate between classes. Files
that are not images are ignored and counted. `folder_layout` finds the files; `folder_table` reads the CSV form.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path

import numpy as np

from zoo.api import Classes, Dataset, DatasetStore, Part, Split, TargetKind
from zoo.errors import DataError
from zoo_datasets.folder_kind import find_table, target_kind
from zoo_datasets.folder_layout import SPLITS, Sample, entries, nfc, scan
from zoo_datasets.folder_masks import open_masks
from zoo_datasets.folder_targets import (
    FolderTarget,
    divide_randomly,
    named_labels,
    read_targets,
    tags_of_folders,
    targets_array,
)
from zoo_datasets.near_duplicates import keep_together, note_between
from zoo_datasets.options import FolderOptions

__all__ = ["Folder", "in_turn", "open_folder", "open_held_out", "read_folder", "top_folder"]


class Folder(Dataset):
    """The implementation of `zoo.api.Dataset`.

    ``held_out`` names the split to evaluate on, where there is nothing to train on. ``groups`` has a number for each
    image, the same for near-duplicates.
    """

    def __init__(
        self,
        root: Path,
        splits: Mapping[str, Sequence[Sample]],
        target: FolderTarget,
        store: DatasetStore,
        held_out: str | None = None,
        groups: Mapping[Path, int] | None = None,
    ) -> None:
        self._target, self._groups = target, groups
        self._root, self._splits, self._store, self._held_out = root, splits, store, held_out

    @property
    def target(self) -> FolderTarget:
        return self._target

    @property
    def parts(self) -> Mapping[Part, str]:
        if self._held_out is not None:
            return {"test": self._held_out}
        labelled = [name for name, samples in self._splits.items() if samples[0].label is not None]
        parts: dict[Part, str] = {"train": "train"}
        if "test" in labelled:
            parts["test"] = "test"
            if "val" in labelled:
                parts["val"] = "val"
        elif "val" in labelled:
            parts["test"] = "val"
        if "test" in self._splits and "test" not in labelled:
            parts["predict"] = "test"
        return parts

    def samples(self, split: str) -> Sequence[Sample]:
        return self._splits[split]

    def load(self, split: str) -> Split:
        samples = self._splits[split]
        labelled = samples[0].label is not None
        targets = targets_array(self._target, [sample.label or "" for sample in samples]) if labelled else None
        files = [sample.file for sample in samples]
        groups = np.array([self._groups[file] for file in files]) if labelled and self._groups else None
        return Split(files, targets, [self._name(file) for file in files], groups)

    @cached_property
    def fingerprint(self) -> str:
        """Over the content, name and target of every image."""
        digest = hashlib.sha256()
        for split, samples in sorted(self._splits.items()):
            for file, label in samples:
                content = self._content(file)
                digest.update(
                    "\0".join((split, self._name(file), label or "", content, "")).encode(errors="surrogateescape")
                )
        return digest.hexdigest()

    def _content(self, file: Path) -> str:
        try:
            return self._store.digest(file)
        except OSError as error:
            if file.is_symlink() and not file.exists():
                return "a link that leads nowhere"  # it may be left out of training, and is refused elsewhere
            raise DataError(
                f"cannot be read: {error.strerror}", where=file, fix="restore it, or change its permissions"
            ) from error

    def _name(self, file: Path) -> str:
        return nfc(file.relative_to(self._root).as_posix() if file.is_relative_to(self._root) else file.as_posix())


def open_folder(options: FolderOptions, store: DatasetStore) -> Dataset:
    """Open a folder of images. Raises DataError if it is invalid."""
    if target_kind(options) == "mask":
        return open_masks(_root(options, store), store, options.test_fraction, options.split_seed)
    root, splits, kind, target = _splits(options, store, training=True)
    if kind == "classes":
        together = options.near_duplicates == "together"
        return _arranged(store, root, splits, options.test_fraction, options.split_seed, together=together)
    own = _has_own(splits)
    target = target or named_labels(splits, root, own_splits=own)
    if not own:
        splits = divide_randomly(splits, options.test_fraction, options.split_seed, root)
    return Folder(root, {name: in_turn(samples) for name, samples in splits.items()}, target, store)


def open_held_out(options: FolderOptions, store: DatasetStore) -> Dataset:
    """Open a folder for the evaluation of a trained model: the labelled test split, otherwise val, otherwise all
    images.

    One class suffices. Raises DataError if the folder is invalid.
    """
    if target_kind(options) == "mask":
        return open_masks(_root(options, store), store, training=False)
    root, splits, kind, target = _splits(options, store, training=False)
    labelled = [name for name in ("test", "val", "train") if name in splits and splits[name][0].label is not None]
    if not labelled:
        raise DataError(
            "there are no labelled images to evaluate on",
            where=root,
            fix="put the images of each class in a folder of its name",
        )
    held_out = "all" if list(splits) == ["train"] else labelled[0]
    samples = in_turn(splits[labelled[0]])
    if kind == "classes":
        target = Classes(names=tuple(_class_names(root, samples)))
    return Folder(root, {held_out: samples}, target or named_labels(splits, root, own_splits=True), store, held_out)


def _splits(
    options: FolderOptions, store: DatasetStore, *, training: bool
) -> tuple[Path, dict[str, list[Sample]], TargetKind, FolderTarget | None]:
    """The samples by split, the kind of their targets, and the target itself if its names are known."""
    kind, table = target_kind(options) or "classes", find_table(options)
    root = Path(options.path).parent if table == Path(options.path) else _root(options, store)
    if table is not None:
        return root, *_with_kind(kind, *read_targets(kind, table, root, options, store, training=training))
    if kind == "values":
        raise DataError(
            "numbers for each image stand in a CSV file, which this folder does not have",
            where=root,
            fix="add --set dataset.labels=FILE, with the columns file and one for each number",
        )
    splits = scan(root, store, options.layout, training=training)
    return root, tags_of_folders(splits, store) if kind == "multi_label" else splits, kind, None


def _root(options: FolderOptions, store: DatasetStore) -> Path:
    root = Path(options.path)
    if not root.exists():
        raise DataError("the folder of images does not exist", where=root, fix="check the path after folder:")
    return root if root.is_dir() else top_folder(store.unpack(root))


def _with_kind(
    kind: TargetKind, splits: dict[str, list[Sample]], target: FolderTarget | None
) -> tuple[dict[str, list[Sample]], TargetKind, FolderTarget | None]:
    return splits, kind, target


def top_folder(unpacked: Path) -> Path:
    """Return the folder with an archive's images: archives often contain a single top folder."""
    inside = [path for path in entries(unpacked) if not path.name.startswith(".")]
    if len(inside) == 1 and inside[0].is_dir() and inside[0].name.lower() not in SPLITS:
        return top_folder(inside[0])
    return unpacked


def read_folder(
    store: DatasetStore, root: Path, test_fraction: float = 0.2, split_seed: int = 0, *, divide: bool = True
) -> Folder:
    """Without ``divide``, images without a split of their own all stay in train."""
    return _arranged(store, root, scan(root, store), test_fraction, split_seed, divide=divide)


def _arranged(
    store: DatasetStore,
    root: Path,
    splits: dict[str, list[Sample]],
    test_fraction: float,
    split_seed: int,
    *,
    divide: bool = True,
    together: bool = False,
) -> Folder:
    classes, groups = _classes(root, splits), None
    if divide and not _has_own(splits):
        splits = _divide(root, splits, test_fraction, split_seed)
        if together:
            splits, groups = keep_together(splits, store)
    elif divide and together:
        groups = note_between(splits, store)
    arranged = {name: in_turn(samples) for name, samples in splits.items()}
    return Folder(root, arranged, Classes(names=tuple(classes)), store, groups=groups)


def _has_own(splits: Mapping[str, Sequence[Sample]]) -> bool:
    """Whether there are labelled images to evaluate on."""
    return any(name in splits and splits[name][0].label is not None for name in ("val", "test"))


def in_turn(samples: Sequence[Sample]) -> list[Sample]:
    """Return samples that alternate between classes, so that the first images, which plots show, are of all classes."""
    seen: Counter[str | None] = Counter()
    ranks = []
    for sample in samples:
        ranks.append(seen[sample.label])
        seen[sample.label] += 1
    return [sample for _, sample in sorted(zip(ranks, samples, strict=True), key=itemgetter(0))]


def _classes(root: Path, splits: Mapping[str, Sequence[Sample]]) -> list[str]:
    """The classes of train, by name.

    Raises DataError where they are too few, differ between splits, or differ in case alone.
    """
    classes = _class_names(root, splits["train"])
    for name, samples in splits.items():
        found = {sample.label for sample in samples if sample.label is not None}
        if found and found != set(classes):
            more, fewer = ", ".join(sorted(found - set(classes))), ", ".join(sorted(set(classes) - found))
            told = "; ".join(
                text for text, names in ((f"only in {name}: {more}", more), (f"only in train: {fewer}", fewer)) if names
            )
            raise DataError(
                f"train and {name} have different classes: {told}", where=root, fix="give both the same class folders"
            )
    if len(classes) < 2:
        raise DataError(
            f"there is only one class, '{classes[0]}'",
            where=root,
            fix="add a folder for another class",
        )
    return classes


def _class_names(root: Path, samples: Sequence[Sample]) -> list[str]:
    """In order. Raises DataError where two differ in case alone."""
    classes = sorted({sample.label for sample in samples if sample.label is not None})
    folded: dict[str, str] = {}
    for name in classes:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise DataError(
                f"the classes '{other}' and '{name}' differ in case alone",
                where=root,
                fix="give one of them another name, or merge them",
            )
    return classes


def _divide(root: Path, splits: Mapping[str, Sequence[Sample]], share: float, seed: int) -> dict[str, list[Sample]]:
    """Split off the same share of every class of train as the labelled val split.

    (RandomState's stream is frozen by numpy's policy.)
    """
    train = list(splits["train"])
    shuffled = [train[row] for row in np.random.RandomState(seed % 2**32).permutation(len(train))]
    aside: set[Path] = set()
    for name in sorted({sample.label or "" for sample in train}):
        files = [sample.file for sample in shuffled if sample.label == name]
        if len(files) < 2:
            raise DataError(
                f"the class '{name}' has one image: too few for training and test", where=root, fix="add some"
            )
        aside.update(files[: min(len(files) - 1, max(1, round(share * len(files))))])
    kept, reported = ([sample for sample in train if (sample.file in aside) == chosen] for chosen in (False, True))
    return {**{name: list(samples) for name, samples in splits.items()}, "train": kept, "val": reported}
