"""Cats and dogs, in any of the usual layouts.

    cat_dog/{train,val}/{Cat,Dog}/…, cat_dog/test/…    the reference's own; test has no labels;
                                                       as a folder, or an archive cat_dog.zip, .tar.gz, .rar
    PetImages/{Cat,Dog}/N.jpg                          Kaggle's, as Microsoft gives it (kagglecatsanddogs_5340.zip);
                                                       divided here, once and for all
    train/cat.0.jpg, train/dog.0.jpg, test/1.jpg       Kaggle's competition, as folder:PATH takes it

PetImages is divided by a seed, the same number of each class in each split: 20,000 images to train on, 2,000 to report
on, the rest to predict; of fewer images, as many in proportion.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.api import DatasetSpec, DatasetStore
from zoo.errors import DataError
from zoo_datasets import CATDOG
from zoo_datasets.folder import Folder, in_turn, read_folder, top_folder
from zoo_datasets.folder_layout import Sample
from zoo_datasets.options import CatdogOptions

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".rar")
SHARES = (20_000 / 25_000, 2_000 / 25_000)
WHOLE = 22_000
"""Number of images from which on the reference's split sizes are used."""


def open_catdog(options: CatdogOptions, store: DatasetStore) -> Folder:
    """What lies in the data folder, the reference's layout first; else Kaggle's archive, downloaded."""
    root = _reference(store)
    if root is not None:
        return _checked(read_folder(store, root), root)
    pets = store.root / "PetImages"
    if not pets.is_dir():
        pets = _kaggle(store, CATDOG)
    return _checked(_divided(store, pets, options.split_seed), pets)


def _checked(opened: Folder, root: Path) -> Folder:
    """Raises DataError where the folder has other classes than the spec, whose names a run shows."""
    if [name.casefold() for name in opened.target.names] != [name.casefold() for name in CATDOG.classes]:
        raise DataError(
            f"the classes are {', '.join(opened.target.names)}, not {' and '.join(CATDOG.classes)}",
            where=root,
            fix=f"use --data folder:{root}",
        )
    return opened


def _reference(store: DatasetStore) -> Path | None:
    if (store.root / "cat_dog").is_dir():
        return store.root / "cat_dog"
    archive = next(
        (store.root / f"cat_dog{suffix}" for suffix in ARCHIVES if (store.root / f"cat_dog{suffix}").is_file()), None
    )
    return None if archive is None else top_folder(store.unpack(archive))


def _kaggle(store: DatasetStore, spec: DatasetSpec) -> Path:
    files = store.files(spec)
    unpacked = store.unpack(files[spec.files[0].path])
    return unpacked / "PetImages" if (unpacked / "PetImages").is_dir() else top_folder(unpacked)


def _divided(store: DatasetStore, root: Path, seed: int) -> Folder:
    """One folder of classes into train, val and what is left (without its labels), by ``RandomState``, whose stream
    numpy never changes."""
    whole = read_folder(store, root, divide=False)
    numbers = np.random.RandomState(seed % 2**32)
    splits: dict[str, list[Sample]] = {"train": [], "val": [], "test": []}
    samples = whole.samples("train")
    for name in whole.target.names:
        mine = [sample for sample in samples if sample.label == name]
        first, second = boundaries(len(mine), len(samples))
        shuffled = [mine[row] for row in numbers.permutation(len(mine))]
        splits["train"] += sorted(shuffled[:first])
        splits["val"] += sorted(shuffled[first:second])
        splits["test"] += [Sample(sample.file, None) for sample in sorted(shuffled[second:])]
    return Folder(root, {name: in_turn(found) for name, found in splits.items() if found}, whole.target, store)


def boundaries(mine: int, all_together: int) -> tuple[int, int]:
    """Where train ends and where val ends, among the images of one class."""
    if all_together >= WHOLE:
        return round(20_000 * mine / all_together), round(22_000 * mine / all_together)
    first = max(1, round(SHARES[0] * mine))
    return first, min(mine, first + max(1, round(SHARES[1] * mine)))
