"""The files of a folder of images by split and class. Two layouts are read:

    ROOT/train/CLASS/…  ROOT/val/CLASS/…  ROOT/test/CLASS/…    "splits": train, with val or test beside it (see
                                                               `SPLITS` for their names)
    ROOT/CLASS/…                                               "classes": one class for each folder directly under ROOT

A class may be called train or test. So folders with the names of splits that stand beside other folders of images are
classes, unless they form a whole split layout of their own: then either reading is possible, and the user chooses.
Class names are compared in Unicode's form NFC.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from zoo.api import DatasetStore
from zoo.errors import DataError
from zoo.plugin import IMAGE_SUFFIXES, is_image, without_surrogates

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names that folders of splits, and the split column of a CSV, may have."""

Layout = Literal["auto", "classes", "splits"]

NUMBERED = re.compile(r"([A-Za-z][A-Za-z_-]*)[._-]\d+")
"""The stem of an image that has its class in its name."""


class Sample(NamedTuple):
    """A file, and the name of its class where it has one."""

    file: Path
    label: str | None


def scan(root: Path, store: DatasetStore, layout: Layout = "auto", *, training: bool = True) -> dict[str, list[Sample]]:
    """Samples by split; all of them in train where there are no splits.

    Raises DataError where a layout is ambiguous or faulty.

    ``training``: there must be a train split.
    """
    folders = _folders(root)
    strays: list[Path] = []
    named = _split_folders(root, folders, layout, store)
    if named:
        if training and "train" not in named:
            found = min(each.name for each in named.values())
            raise DataError(f"there is a folder '{found}', but no train folder", where=root, fix="add train/CLASS/…")
        strays += [folder for folder in folders if folder not in named.values()]
        splits = {name: _labelled(folder, strays) for name, folder in named.items() if name != "test"}
        if "test" in named:
            splits["test"] = _test(named["test"], splits.get("train"), strays)
    else:
        splits = {"train": _labelled(root, strays)}
    if strays:
        shown = ", ".join(sorted({file.suffix.lower() or file.name for file in strays})[:5])
        store.note(f"{len(strays)} files or folders that are no images of a class are ignored ({shown})")
    return splits


def nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def class_name(name: str) -> str:
    """The class that a folder or a label of this name stands for: in form NFC, bytes that are not UTF-8 (lone
    surrogates) as escapes."""
    return without_surrogates(nfc(name))


def code_points(name: str) -> str:
    """``'café' (U+0063 U+0061 U+0066 U+00E9)``, to distinguish names that look the same."""
    return f"'{name}' ({' '.join(f'U+{ord(char):04X}' for char in name)})"


def entries(folder: Path) -> list[Path]:
    """What is in a folder, in the order of the names' NFC form. Raises DataError where it cannot be read."""
    try:
        return sorted(folder.iterdir(), key=lambda path: (nfc(path.name), path.name))
    except OSError as error:
        raise DataError(
            f"the folder cannot be read: {error.strerror}", where=folder, fix="change its permissions"
        ) from error


# --------------------------------------------------------------------------------------------------- which layout it is


def _split_folders(root: Path, folders: Sequence[Path], layout: Layout, store: DatasetStore) -> dict[str, Path]:
    """The folder of each split; none where each folder is a class."""
    candidates = [folder for folder in folders if folder.name.lower() in SPLITS]
    if layout == "classes" or not candidates:
        if layout == "splits":
            raise DataError(
                "no folder has the name of a split",
                where=root,
                fix="add train/CLASS/…, or leave out dataset.layout=splits",
            )
        return {}
    others = [folder for folder in folders if folder not in candidates and _has_images(folder)]
    if layout == "splits" or not others:
        named = _one_folder_each(root, candidates)
        if (
            layout == "auto"
            and len(named) > 1
            and "train" in named
            and _has_images(named["train"])
            and not _classes_inside(named["train"])
        ):
            raise _without_classes(root, candidates)
        return named
    if _is_split_layout(candidates):
        classes = [folder for folder in others if any(_is_image(path) for path in entries(folder))]
        if classes:
            raise _ambiguous(root, candidates, classes)
        return _one_folder_each(root, candidates)  # images deeper down alone, as of a run or a report, are no class
    read = "is read as a class" if len(candidates) == 1 else "are read as classes"
    store.note(
        f"{_listed(candidates)} {read}, like {_listed(others)}; dataset.layout=splits reads only folders with the "
        "names of splits"
    )
    return {}


def _one_folder_each(root: Path, candidates: Sequence[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for folder in candidates:
        split = SPLITS[folder.name.lower()]
        if split in named:
            raise DataError(
                f"'{named[split].name}' and '{folder.name}' are both the {split} split",
                where=root,
                fix="keep one of them",
            )
        named[split] = folder
    return named


def _is_split_layout(candidates: Sequence[Path]) -> bool:
    """Whether these are a train split and, beside it, a val or test split of the same classes (a test split may have
    none)."""
    named = {SPLITS[folder.name.lower()]: folder for folder in candidates}
    if len(named) < len(candidates) or len(named) < 2 or "train" not in named:
        return False
    classes = {split: _classes_inside(folder) for split, folder in named.items()}
    return len(classes["train"]) > 1 and all(
        found == classes["train"] or (split == "test" and not found) for split, found in classes.items()
    )


def _classes_inside(folder: Path) -> set[str]:
    inside = {class_name(each.name) for each in _folders(folder) if _has_images(each)}
    return inside or {sample.label for sample in _named_by_class(folder) if sample.label is not None}


def _has_images(folder: Path) -> bool:
    return next(_files(folder), None) is not None


def _ambiguous(root: Path, candidates: Sequence[Path], others: Sequence[Path]) -> DataError:
    return DataError(
        f"this folder can be read in two ways: with the splits {_listed(candidates)}, without {_listed(others)}; "
        f"or with the classes {_listed(sorted([*candidates, *others]))}",
        where=root,
        fix="set dataset.layout=splits or dataset.layout=classes",
    )


def _without_classes(root: Path, candidates: Sequence[Path]) -> DataError:
    return DataError(
        f"{_listed(candidates)} have no class folders in them: they can be splits whose images have no labels, or "
        "classes",
        where=root,
        fix="put the images of each class in a folder of its name (train/CLASS/…), or set dataset.layout=classes",
    )


def _listed(folders: Sequence[Path], most: int = 5) -> str:
    names = [f"'{folder.name}'" for folder in folders]
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"


# ------------------------------------------------------------------------------------------------- samples of one split


def _labelled(folder: Path, strays: list[Path]) -> list[Sample]:
    """Every image under a class folder, or with its class in its name.

    Raises DataError for an empty class, and for a folder that has none.
    """
    samples: list[Sample] = []
    inside = _folders(folder)
    if not inside:
        samples = _named_by_class(folder)
    strays += [path for path in entries(folder) if not path.is_dir() and not samples]
    for name, each in _by_class(folder, inside).items():
        images = _images(each, strays)
        if not images:
            raise DataError(
                f"the class '{name}' has no images",
                where=each,
                fix=f"add some ({', '.join(IMAGE_SUFFIXES)}), or remove the folder",
            )
        samples += [Sample(file, name) for file in images]
    if not samples:
        raise DataError(
            "there are no class folders with images in it",
            where=folder,
            fix="put the images of each class in a folder of its name",
        )
    return samples


def _by_class(folder: Path, inside: Sequence[Path]) -> Mapping[str, Path]:
    """Class folders by name. Raises DataError where two are one name in different Unicode forms."""
    named: dict[str, Path] = {}
    for each in inside:
        other = named.setdefault(class_name(each.name), each)
        if other is not each:
            raise DataError(
                f"two folders have one class name in different Unicode forms: {code_points(other.name)} and "
                f"{code_points(each.name)}",
                where=folder,
                fix="merge them, or rename one",
            )
    return named


def _named_by_class(folder: Path) -> list[Sample]:
    """``cat.0.jpg`` is a cat, where all the images of a folder are so named and there are two classes at least."""
    images = [path for path in entries(folder) if _is_image(path)]
    labels = [NUMBERED.fullmatch(path.stem) for path in images]
    samples = [Sample(path, label[1]) for path, label in zip(images, labels, strict=True) if label is not None]
    return samples if len(samples) == len(images) and len({sample.label for sample in samples}) > 1 else []


def _test(folder: Path, train: Sequence[Sample] | None, strays: list[Path]) -> list[Sample]:
    """Labelled where its folders are classes of train, where there is one; else images to predict, here or in one
    subfolder."""
    inside = _folders(folder)
    if (
        len(inside) > 1
        or (train is None and inside)
        or {class_name(each.name) for each in inside} & {sample.label for sample in train or ()}
    ):
        return _labelled(folder, strays)
    if train is None and (samples := _named_by_class(folder)):
        return samples
    images = _images(folder, strays)
    if not images:
        raise DataError("the test folder has no images", where=folder, fix="add some, or remove the folder")
    return [Sample(file, None) for file in images]


# ---------------------------------------------------------------------------------------------------------------- files


def _images(folder: Path, strays: list[Path]) -> list[Path]:
    """Images under a folder and its subfolders, in the order of their names; what else is there is added to
    ``strays``."""
    return list(_files(folder, strays))


def _files(folder: Path, strays: list[Path] | None = None, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Links are followed, but not in a circle."""
    here = os.path.realpath(folder)
    if here in above:
        raise DataError("this link leads back to a folder that it is in", where=folder, fix="remove the link")
    for path in entries(folder):
        if path.name.startswith("."):
            ignored = True
        elif _is_folder(path, may_dangle=path.suffix.lower() in IMAGE_SUFFIXES):
            yield from _files(path, strays, (*above, here))
            continue
        else:
            ignored = not is_image(path)
        if not ignored:
            yield path
        elif strays is not None:
            strays.append(path)


def _is_image(path: Path) -> bool:
    """Neither hidden nor of another kind."""
    return not path.name.startswith(".") and is_image(path)


def _folders(folder: Path) -> list[Path]:
    return [
        path
        for path in entries(folder)
        if not path.name.startswith(".") and _is_folder(path, may_dangle=path.suffix.lower() in IMAGE_SUFFIXES)
    ]


def _is_folder(path: Path, *, may_dangle: bool) -> bool:
    """Raises DataError for a link that leads nowhere; one with the name of an image ``may_dangle``: it is an image that
    cannot be read."""
    try:
        path.stat()
    except OSError as error:
        if path.is_symlink() and not may_dangle:
            raise DataError(f"this link is broken: {error.strerror}", where=path, fix="remove the link") from error
        if not path.is_symlink():
            raise DataError(f"cannot be read: {error.strerror}", where=path, fix="change its permissions") from error
    return path.is_dir()
