"""A user's own pictures, in a folder or in an archive of one.

    PATH/train/CLASS/…  PATH/val/CLASS/…  PATH/test/CLASS/…    val is optional; test may have no classes: then it is to be predicted
    PATH/train/CLASS.NUMBER.jpg                                in place of folders, each picture may bear its class in its name (cat.0.jpg)
    PATH/CLASS/…                                               divided once, the same share of every class, by a seed
    PATH and a CSV file with the columns file, label[, split]

What each part is for: train is learned from; test, where it has labels, is reported on, and then val selects; without such a test, val is
reported on; without either, a share of train is put aside. Classes are in the order of their names, and their pictures in turn. Files that
are no pictures are ignored and counted. `folder_table` reads the CSV form.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.api import DatasetStore, Part, Split
from zoo.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names that folders of splits, and the split column of a CSV, may have."""


NUMBERED = re.compile(r"([A-Za-z][A-Za-z_-]*)[._-]\d+")
"""The stem of a picture that bears its class in its name."""


class Sample(NamedTuple):
    """A file, and the name of its class where it has one."""

    file: Path
    label: str | None


class Folder:
    """The implementation of `zoo.api.Dataset`."""

    def __init__(self, root: Path, splits: Mapping[str, Sequence[Sample]], classes: Sequence[str], store: DatasetStore) -> None:
        self.classes = tuple(classes)
        self._root, self._splits, self._store = root, splits, store

    @property
    def parts(self) -> Mapping[Part, str]:
        labelled = [name for name, samples in self._splits.items() if samples[0].label is not None]
        parts: dict[Part, str] = {"train": "train"}
        if "test" in labelled:
            parts["report"] = "test"
            if "val" in labelled:
                parts["select"] = "val"
        elif "val" in labelled:
            parts["report"] = "val"
        if "test" in self._splits and "test" not in labelled:
            parts["predict"] = "test"
        return parts

    def samples(self, split: str) -> Sequence[Sample]:
        return self._splits[split]

    def load(self, split: str) -> Split:
        samples = self._splits[split]
        place = {name: index for index, name in enumerate(self.classes)}
        labels = None if samples[0].label is None else np.array([place[sample.label or ""] for sample in samples], np.int64)
        return Split([sample.file for sample in samples], labels, [self._name(sample.file) for sample in samples])

    @cached_property
    def fingerprint(self) -> str:
        """Over the content, name and class of every picture."""
        digest = hashlib.sha256()
        for split, samples in sorted(self._splits.items()):
            for file, label in samples:
                try:
                    content = self._store.digest(file)
                except OSError as error:
                    raise DataError(f"cannot be read: {error.strerror}", where=file, fix="restore it, or give us the right to read it") from error
                digest.update("\0".join((split, self._name(file), label or "", content, "")).encode(errors="surrogateescape"))
        return digest.hexdigest()

    def _name(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix() if file.is_relative_to(self._root) else file.as_posix()


def open_folder(store: DatasetStore, path: str, labels: str | None, report: float, split_seed: int) -> Folder:
    """Raises DataError saying what is wrong with the folder."""
    root = Path(path)
    if not root.exists():
        raise DataError("the folder of pictures does not exist", where=root, fix="check the path behind folder:")
    if not root.is_dir():
        root = top_folder(store.unpack(root))
    if labels is None:
        return read_folder(store, root, report, split_seed)
    from zoo_datasets.folder_table import read_table

    return _arranged(store, root, read_table(Path(labels), root), report, split_seed)


def top_folder(unpacked: Path) -> Path:
    """Where an archive's pictures begin: archives often hold one folder, which holds all the rest."""
    inside = [path for path in _entries(unpacked) if not path.name.startswith(".")]
    if len(inside) == 1 and inside[0].is_dir() and inside[0].name.lower() not in SPLITS:
        return top_folder(inside[0])
    return unpacked


def read_folder(store: DatasetStore, root: Path, report: float = 0.2, split_seed: int = 0, *, divide: bool = True) -> Folder:
    """Without ``divide``, pictures without a split of their own all stay in train."""
    return _arranged(store, root, _scan(root, store), report, split_seed, divide=divide)


def _arranged(store: DatasetStore, root: Path, splits: dict[str, list[Sample]], report: float, split_seed: int, *, divide: bool = True) -> Folder:
    classes = _classes(root, splits)
    if divide and not any(name in splits and splits[name][0].label is not None for name in ("val", "test")):
        splits = _divide(root, splits, report, split_seed)
    return Folder(root, {name: in_turn(samples) for name, samples in splits.items()}, classes, store)


def in_turn(samples: Sequence[Sample]) -> list[Sample]:
    """The first of every class, then the second of every class, and so on: the first pictures, which people are shown, are of all classes."""
    seen: Counter[str | None] = Counter()
    ranks = []
    for sample in samples:
        ranks.append(seen[sample.label])
        seen[sample.label] += 1
    return [sample for _, sample in sorted(zip(ranks, samples, strict=True), key=itemgetter(0))]


def _scan(root: Path, store: DatasetStore) -> dict[str, list[Sample]]:
    folders = _folders(root)
    strays: list[Path] = []
    named = _named(root, folders)
    if named:
        strays += [folder for folder in folders if folder not in named.values()]
        splits = {name: _labelled(folder, strays) for name, folder in named.items() if name != "test"}
        if "test" in named:
            splits["test"] = _test(named["test"], splits["train"], strays)
    else:
        splits = {"train": _labelled(root, strays)}
    if strays:
        shown = ", ".join(sorted({file.suffix.lower() or file.name for file in strays})[:5])
        store.note(f"{len(strays)} files or folders that are no pictures of a class are ignored ({shown})")
    return splits


def _named(root: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """The folders of splits, none where there is one folder of classes."""
    named: dict[str, Path] = {}
    for folder in folders:
        split = SPLITS.get(folder.name.lower())
        if split in named:
            raise DataError(f"'{named[split].name}' and '{folder.name}' are both the {split} split", where=root, fix="keep one of them")
        if split is not None:
            named[split] = folder
    if named and "train" not in named:
        raise DataError(f"there is a folder '{min(each.name for each in named.values())}', and none to train on", where=root, fix="add train/CLASS/…")
    return named


def _labelled(folder: Path, strays: list[Path]) -> list[Sample]:
    """Every picture under a class folder, or with its class in its name. Raises DataError for an empty class, and for a folder that has none."""
    samples: list[Sample] = []
    if not _folders(folder):
        samples = _named_by_class(folder)
    strays += [path for path in _entries(folder) if not path.is_dir() and not samples]
    for each in _folders(folder):
        pictures = _pictures(each, strays)
        if not pictures:
            raise DataError(f"the class '{each.name}' has no pictures", where=each, fix=f"add some ({', '.join(SUFFIXES)}), or remove the folder")
        samples += [Sample(file, each.name) for file in pictures]
    if not samples:
        raise DataError("there are no class folders with pictures in it", where=folder, fix="put the pictures of each class in a folder of its name")
    return samples


def _named_by_class(folder: Path) -> list[Sample]:
    """``cat.0.jpg`` is a cat, where all the pictures of a folder are so named and there are two classes at least."""
    pictures = [path for path in _entries(folder) if path.suffix.lower() in SUFFIXES]
    labels = [NUMBERED.fullmatch(path.stem) for path in pictures]
    samples = [Sample(path, label[1]) for path, label in zip(pictures, labels, strict=True) if label is not None]
    return samples if len(samples) == len(pictures) and len({sample.label for sample in samples}) > 1 else []


def _test(folder: Path, train: Sequence[Sample], strays: list[Path]) -> list[Sample]:
    """Labelled where its folders are classes of train; else pictures to predict, here or in one subfolder."""
    inside = _folders(folder)
    if len(inside) > 1 or {each.name for each in inside} & {sample.label for sample in train}:
        return _labelled(folder, strays)
    pictures = _pictures(folder, strays)
    if not pictures:
        raise DataError("the test folder has no pictures", where=folder, fix="add some, or remove the folder")
    return [Sample(file, None) for file in pictures]


def _pictures(folder: Path, strays: list[Path], above: tuple[str, ...] = ()) -> list[Path]:
    """Files under a folder and its subfolders, by name; links are followed, but not in a circle."""
    here = os.path.realpath(folder)
    if here in above:
        raise DataError("this link leads back to a folder that it is in", where=folder, fix="remove the link")
    found: list[Path] = []
    for path in _entries(folder):
        if path.name.startswith("."):
            strays.append(path)
        elif _is_folder(path):
            found += _pictures(path, strays, (*above, here))
        elif path.suffix.lower() in SUFFIXES:
            found.append(path)
        else:
            strays.append(path)
    return found


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if not path.name.startswith(".") and _is_folder(path)]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"the folder cannot be read: {error.strerror}", where=folder, fix="give yourself the right to read it") from error


def _is_folder(path: Path) -> bool:
    """Raises DataError for a link that leads to itself, which the system cannot follow."""
    try:
        path.stat()
    except OSError as error:
        if path.is_symlink():
            raise DataError(f"this link leads nowhere: {error.strerror}", where=path, fix="remove the link") from error
        raise DataError(f"cannot be read: {error.strerror}", where=path, fix="give yourself the right to read it") from error
    return path.is_dir()


def _classes(root: Path, splits: Mapping[str, Sequence[Sample]]) -> list[str]:
    """The classes of train, by name. Raises DataError where they are too few, differ between splits, or differ in case alone."""
    by_split = {name: {sample.label for sample in samples if sample.label is not None} for name, samples in splits.items()}
    classes = sorted(by_split["train"])
    for name, found in by_split.items():
        if found and found != set(classes):
            more, fewer = ", ".join(sorted(found - set(classes))), ", ".join(sorted(set(classes) - found))
            told = "; ".join(text for text, names in ((f"only in {name}: {more}", more), (f"only in train: {fewer}", fewer)) if names)
            raise DataError(f"train and {name} have different classes: {told}", where=root, fix="give both the same class folders")
    folded: dict[str, str] = {}
    for name in classes:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise DataError(
                f"the classes '{other}' and '{name}' differ in case alone", where=root, fix="give one of them another name, or merge them"
            )
    if len(classes) < 2:
        raise DataError(f"there is one class, '{classes[0]}', and nothing to tell it from", where=root, fix="add a folder for another class")
    return classes


def _divide(root: Path, splits: Mapping[str, Sequence[Sample]], share: float, seed: int) -> dict[str, list[Sample]]:
    """Put the same share of every class of train aside as the labelled val part. (RandomState's stream is frozen by numpy's policy.)"""
    train = list(splits["train"])
    shuffled = [train[row] for row in np.random.RandomState(seed % 2**32).permutation(len(train))]
    aside: set[Path] = set()
    for name in sorted({sample.label or "" for sample in train}):
        files = [sample.file for sample in shuffled if sample.label == name]
        if len(files) < 2:
            raise DataError(f"the class '{name}' has one picture: too few to train and to report on", where=root, fix="add some")
        aside.update(files[: min(len(files) - 1, max(1, round(share * len(files))))])
    kept, reported = ([sample for sample in train if (sample.file in aside) == chosen] for chosen in (False, True))
    return {**{name: list(samples) for name, samples in splits.items()}, "train": kept, "val": reported}
