"""A user's own images with masks, for segmentation: a PNG for each image, with its name and its size.

    ROOT/images/a.jpg  ROOT/masks/a.png                          divided once, by a seed
    ROOT/images/train/a.jpg  ROOT/masks/train/a.png              with splits below the folders, or above them:
    ROOT/train/images/a.jpg  ROOT/train/masks/a.png
    ROOT/classes.txt                                             a class in each line, in the order of the values 0, 1 …
    ROOT/classes.csv                                             or the columns class and colour (#rrggbb), or class,
                                                                 red, green, blue, or class and value (gray)

With colours or values in classes.csv, masks are read by their colours; a row called ignore has the colour of pixels
that do not count. Otherwise a mask has the index of the class as its value, in a palette or in gray, and 255 is
ignored. Without a file of classes, they are called by their values. The splits have the purposes they have in
`zoo_datasets.folder`; a test split without masks is to be predicted.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from zoo.api import Dataset, DatasetStore, Mask, Part, Split
from zoo.errors import DataError
from zoo.plugin import is_image, read_bytes, tracked
from zoo_datasets.folder_kind import IMAGES, MASKS, has_masks, split_folders
from zoo_datasets.folder_layout import entries, nfc

IGNORE = 255
IGNORE_NAMES = ("ignore", "void", "unlabelled", "unlabeled")
"""Names of the row of classes.csv whose pixels do not count."""
HEADERS = (("class", "colour"), ("class", "color"), ("class", "red", "green", "blue"), ("class", "value"))
SAID = 1000
"""Masks from which on a progress is shown while their values are read."""


class Pair(NamedTuple):
    """An image and its mask; None in a test split that is to be predicted."""

    image: Path
    mask: Path | None


class MaskFolder(Dataset):
    """The implementation of `zoo.api.Dataset`. ``held_out`` names the split to evaluate on, where there is nothing to
    train on."""

    def __init__(
        self,
        root: Path,
        splits: Mapping[str, Sequence[Pair]],
        target: Mask,
        store: DatasetStore,
        held_out: str | None = None,
    ) -> None:
        self._root, self._splits, self._target, self._store, self._held_out = root, splits, target, store, held_out

    @property
    def target(self) -> Mask:
        return self._target

    @property
    def parts(self) -> Mapping[Part, str]:
        if self._held_out is not None:
            return {"test": self._held_out}
        labelled = [name for name, pairs in self._splits.items() if pairs[0].mask is not None]
        parts: dict[Part, str] = {"train": "train", "test": "test" if "test" in labelled else "val"}
        if "test" in labelled and "val" in labelled:
            parts["val"] = "val"
        if "test" in self._splits and "test" not in labelled:
            parts["predict"] = "test"
        return parts

    def load(self, split: str) -> Split:
        pairs = self._splits[split]
        masks = [pair.mask for pair in pairs if pair.mask is not None]
        return Split([pair.image for pair in pairs], masks or None, [self._name(pair.image) for pair in pairs])

    @cached_property
    def fingerprint(self) -> str:
        """Over the content and name of every image and mask, and the classes."""
        digest = hashlib.sha256(self._target.model_dump_json().encode())
        for split, pairs in sorted(self._splits.items()):
            for file in (file for pair in pairs for file in pair if file is not None):
                told = f"{split}\0{self._name(file)}\0{_content(self._store, file)}\0"
                digest.update(told.encode(errors="surrogateescape"))
        return digest.hexdigest()

    def _name(self, file: Path) -> str:
        return nfc(file.relative_to(self._root).as_posix())


def open_masks(
    root: Path, store: DatasetStore, test_fraction: float = 0.2, split_seed: int = 0, *, training: bool = True
) -> MaskFolder:
    """Open a folder of images and masks. Raises DataError if it is invalid.

    Without ``training``, for the evaluation of a trained model, the test split is the one with masks, otherwise val,
    otherwise all images.
    """
    if not has_masks(root):
        raise DataError(
            f"this folder has no {IMAGES}/ with {MASKS}/ beside it",
            where=root,
            fix="put the images into images/ and a PNG with the name of each into masks/",
        )
    splits = find_pairs(root)
    labelled = [name for name in ("test", "val", "train") if name in splits and splits[name][0].mask is not None]
    if not labelled or (training and "train" not in labelled):
        raise DataError(
            f"there are no masks to {'train' if training else 'evaluate'} on",
            where=root,
            fix="put a PNG with the name of its image into masks/ (of the train split, if there are splits)",
        )
    target = read_classes(root, [pair.mask for pairs in splits.values() for pair in pairs if pair.mask is not None])
    if not training:
        held_out = "all" if list(splits) == ["train"] else labelled[0]
        return MaskFolder(root, {held_out: splits[labelled[0]]}, target, store, held_out)
    if labelled == ["train"]:
        splits = {**splits, **_divided(root, splits["train"], test_fraction, split_seed)}
    return MaskFolder(root, splits, target, store)


# ----------------------------------------------------------------------------------------------------- images and masks


def find_pairs(root: Path) -> dict[str, list[Pair]]:
    """Return the images with their masks by split; all of them in train if there are no splits."""
    if (root / IMAGES).is_dir():
        images, masks = split_folders(root / IMAGES), split_folders(root / MASKS)
        if not images:
            return {"train": _paired(root / IMAGES, root / MASKS)}
        return {name: _paired(folder, masks.get(name, root / MASKS / folder.name)) for name, folder in images.items()}
    return {name: _paired(folder / IMAGES, folder / MASKS) for name, folder in split_folders(root).items()}


def _paired(images: Path, masks: Path) -> list[Pair]:
    """Pair images and masks by name. Raises DataError where one has no other."""
    of_images, of_masks = _by_name(images, "image"), _by_name(masks, "mask") if masks.is_dir() else {}
    if not of_images:
        raise DataError("there are no images in it", where=images, fix="add some, or remove the folder")
    alone = sorted(of_masks.keys() - of_images.keys())
    if alone:
        raise DataError(
            f"this mask has no image: {images.name}/ has no {alone[0]}{_more(alone)}",
            where=of_masks[alone[0]],
            fix="give the image and its mask the same name, or remove the mask",
        )
    alone = sorted(of_images.keys() - of_masks.keys())
    if alone and of_masks:
        raise DataError(
            f"this image has no mask: {masks.name}/ has no {alone[0]}.png{_more(alone)}",
            where=of_images[alone[0]],
            fix="give the mask and its image the same name, or remove the image",
        )
    return [Pair(file, of_masks.get(name)) for name, file in sorted(of_images.items())]


def _more(names: Sequence[str]) -> str:
    return f" ({len(names) - 1} more)" if len(names) > 1 else ""


def _by_name(folder: Path, what: str) -> dict[str, Path]:
    """Return image files by their path in ``folder``, without suffix."""
    found: dict[str, Path] = {}
    for file in _files(folder):
        name = nfc(file.relative_to(folder).with_suffix("").as_posix())
        if name in found:
            raise DataError(f"there are two {what}s called {name}", where=found[name], fix="rename or remove one")
        found[name] = file
    return found


def _files(folder: Path) -> Iterator[Path]:
    for path in entries(folder):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif is_image(path):
            yield path


def _divided(root: Path, pairs: Sequence[Pair], share: float, seed: int) -> dict[str, list[Pair]]:
    """Split off a share as val. (RandomState's stream is frozen by numpy's policy.)"""
    if len(pairs) < 2:
        raise DataError("there is one image: too few for training and test", where=root, fix="add some")
    count = min(len(pairs) - 1, max(1, round(share * len(pairs))))
    aside = set(np.random.RandomState(seed % 2**32).permutation(len(pairs))[:count].tolist())
    kept, reported = ([pair for place, pair in enumerate(pairs) if (place in aside) == chosen] for chosen in (0, 1))
    return {"train": kept, "val": reported}


def _content(store: DatasetStore, file: Path) -> str:
    try:
        return store.digest(file)
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror}", where=file, fix="restore it, or change its permissions"
        ) from error


# -------------------------------------------------------------------------------------------------------------- classes


def read_classes(root: Path, masks: Sequence[Path]) -> Mask:
    """Return the classes in classes.txt or classes.csv; without either, the values of the masks."""
    for name in ("classes.csv", "classes.txt"):
        if (root / name).is_file():
            return (_read_table if name.endswith("csv") else _read_list)(root / name)
    largest = 0
    for mask in tracked(masks, f"reading the values of {len(masks):,} masks") if len(masks) >= SAID else masks:
        values = _values(mask)
        counted = values[values != IGNORE]
        largest = max(largest, int(counted.max()) if counted.size else 0)
    return Mask(names=tuple(str(value) for value in range(largest + 1)), ignore=IGNORE)


def _values(mask: Path) -> np.ndarray:
    try:
        with Image.open(mask, formats=("PNG",)) as image:
            if image.mode not in ("P", "L", "1"):
                raise DataError(
                    f"this mask has the mode {image.mode}, and no file says which colour is which class",
                    where=mask,
                    fix="write classes.csv with the columns class and colour beside images/ and masks/",
                )
            return np.asarray(image).astype(np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"this mask cannot be read: {error}", where=mask, fix="replace it by a PNG") from error


def _text(file: Path) -> str:
    try:
        return read_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("the file of classes is not in UTF-8", where=file, fix="save it in UTF-8") from error


def _read_list(file: Path) -> Mask:
    names = tuple(line.strip() for line in _text(file).splitlines() if line.strip())
    _check_names(file, names)
    return Mask(names=names, ignore=IGNORE)


def _read_table(file: Path) -> Mask:
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(_text(file))) if any(row)]
    header = tuple(cell.casefold() for cell in rows[0]) if rows else ()
    if header not in HEADERS:
        known = " or ".join(",".join(each) for each in HEADERS if each != HEADERS[1])
        raise DataError(
            f"the columns are {','.join(header) or 'missing'}", where=file, fix=f"name them {known}, in the first line"
        )
    found: dict[str, tuple[int, int, int]] = {}
    for line, row in enumerate(rows[1:], 2):
        colour = _colour(row[1:]) if len(row) == len(header) else None
        if colour is None or not row[0] or row[0] in found or colour in found.values():
            raise DataError(
                f"line {line}: '{','.join(row)}' is no class with a colour of its own",
                where=file,
                fix="give each class a name and a colour (#rrggbb, or numbers from 0 to 255)",
            )
        found[row[0]] = colour
    ignored = next((name for name in found if name.casefold() in IGNORE_NAMES), None)
    ignore_colour = None if ignored is None else found.pop(ignored)
    _check_names(file, tuple(found))
    return Mask(names=tuple(found), ignore=IGNORE, colours=tuple(found.values()), ignore_colour=ignore_colour)


def _colour(cells: Sequence[str]) -> tuple[int, int, int] | None:
    """Return the colour in the cells of a row: #rrggbb, a gray value, or red, green and blue; None if it is none."""
    try:
        if len(cells) == 1 and cells[0].startswith("#"):
            numbers = list(bytes.fromhex(cells[0][1:]))
        else:
            numbers = [int(cell) for cell in cells] * (3 if len(cells) == 1 else 1)
    except ValueError:
        return None
    if len(numbers) != 3 or not all(0 <= number <= 255 for number in numbers):
        return None
    return numbers[0], numbers[1], numbers[2]


def _check_names(file: Path, names: Sequence[str]) -> None:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if not names or twice is not None or len(names) > IGNORE:
        what = f"the class '{twice}' twice" if twice is not None else f"{len(names)} classes"
        raise DataError(f"the file has {what}", where=file, fix=f"name 1 to {IGNORE} different classes")
