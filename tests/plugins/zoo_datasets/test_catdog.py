"""Cats and dogs in the layouts that people have them in."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zoo_datasets import catdog
from zoo_datasets.catdog import open_catdog
from zoo_datasets.folder import open_folder
from zoo_datasets.options import CatdogOptions, FolderOptions

from zoo.data.data_folder import Store
from zoo.errors import DataError
from zoo.support.paths import data_root


def image(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), (shade % 256, shade // 256, 0)).save(path)


def lay(root: Path, counts: dict[str, int]) -> Path:
    for number, (place, count) in enumerate(counts.items()):
        for index in range(count):
            image(root / place.replace("#", str(index)), 97 * number + index)
    return root


REFERENCE = {"train/Cat/#.jpg": 3, "train/Dog/#.jpg": 4, "val/Cat/#.jpg": 2, "val/Dog/#.jpg": 2, "test/#.jpg": 5}


def packed(folder: Path, to: Path, inside: str = "") -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(to, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(file, f"{inside}{file.relative_to(folder)}")
    shutil.rmtree(folder)
    return to


def sizes(dataset) -> dict[str, int]:
    return {part: len(dataset.load(split).images) for part, split in dataset.parts.items()}


@pytest.mark.parametrize("form", ["folder", "archive", "archive of a folder", "test in a subfolder"])
def test_the_references_layout(form, tmp_path) -> None:
    counts = {
        ("test/all/#.jpg" if name == "test/#.jpg" and form == "test in a subfolder" else name): count
        for name, count in REFERENCE.items()
    }
    folder = lay(data_root() / "cat_dog", counts)
    if form.startswith("archive"):
        packed(folder, data_root() / "cat_dog.zip", "cat_dog/" if form == "archive of a folder" else "")
    opened = open_catdog(CatdogOptions(split_seed=0), Store())
    assert opened.target.names == ("Cat", "Dog")
    assert sizes(opened) == {"train": 7, "test": 4, "predict": 5}
    assert opened.load("train").targets.tolist() == [0, 1, 0, 1, 0, 1, 1]
    assert opened.load("test").targets is None


def test_a_folder_goes_before_an_archive_and_both_mean_the_same() -> None:
    lay(data_root() / "cat_dog", REFERENCE)
    fingerprint = open_catdog(CatdogOptions(split_seed=0), Store()).fingerprint
    packed(data_root() / "cat_dog", data_root() / "cat_dog.zip", "cat_dog/")
    assert open_catdog(CatdogOptions(split_seed=0), Store()).fingerprint == fingerprint
    lay(data_root() / "cat_dog", {**REFERENCE, "train/Cat/#.jpg": 9})
    assert sizes(open_catdog(CatdogOptions(split_seed=0), Store()))["train"] == 13


def test_petimages_is_divided_by_a_seed_for_good() -> None:
    lay(data_root() / "PetImages", {"Cat/#.jpg": 50, "Dog/#.jpg": 50})
    opened = open_catdog(CatdogOptions(split_seed=0), Store())
    assert sizes(opened) == {"train": 80, "test": 8, "predict": 12}
    assert np.bincount(opened.load("val").targets).tolist() == [4, 4]
    names = {split: set(opened.load(split).names) for split in ("train", "val", "test")}
    assert len(set.union(*names.values())) == 100
    again, other = open_catdog(CatdogOptions(split_seed=0), Store()), open_catdog(CatdogOptions(split_seed=1), Store())
    assert again.fingerprint == opened.fingerprint != other.fingerprint
    assert sorted(again.load("val").names) == sorted(names["val"]) != sorted(other.load("val").names)
    assert opened.load("test").targets is None


def test_the_numbers_of_the_whole_are_the_references() -> None:
    cuts = [catdog.boundaries(mine, 24_998) for mine in (12_499, 12_499)]
    assert [sum(first for first, _ in cuts), sum(second for _, second in cuts)] == [20_000, 22_000]


def test_kaggles_archive_is_unpacked_where_it_lies() -> None:
    folder = lay(data_root() / "pets", {"Cat/#.jpg": 10, "Dog/#.jpg": 10})
    packed(folder, data_root() / "kagglecatsanddogs_5340.zip", "PetImages/")
    store = Store()
    assert sizes(open_catdog(CatdogOptions(split_seed=0), store)) == {"train": 16, "test": 2, "predict": 2}
    assert any("is not the official file" in note for note in store.notes)


def test_kaggles_competition_names_its_images_by_class(tmp_path) -> None:
    lay(tmp_path / "kaggle", {"train/cat.#.jpg": 5, "train/dog.#.jpg": 5, "test/#.jpg": 3})
    opened = open_folder(FolderOptions(path=str(tmp_path / "kaggle")), Store())
    assert opened.target.names == ("cat", "dog") and sizes(opened) == {"train": 8, "test": 2, "predict": 3}
    image(tmp_path / "kaggle" / "train" / "holiday.jpg")
    with pytest.raises(DataError, match="have no class folders in them"):
        open_folder(FolderOptions(path=str(tmp_path / "kaggle")), Store())


@pytest.mark.parametrize("layout", ["cat_dog/train/{}/#.jpg", "PetImages/{}/#.jpg"])
def test_other_classes_are_not_called_cat_and_dog(layout: str) -> None:
    lay(data_root(), {layout.format(name): 12 for name in ("Dog", "Hen")})
    with pytest.raises(DataError, match=r"the classes are Dog, Hen, not Cat and Dog .*--data folder:"):
        open_catdog(CatdogOptions(split_seed=0), Store())


def test_a_folder_may_be_given_as_an_archive(tmp_path) -> None:
    packed(lay(tmp_path / "pets", {"Cat/#.jpg": 5, "Dog/#.jpg": 5}), tmp_path / "pets.zip", "pets/")
    opened = open_folder(FolderOptions(path=str(tmp_path / "pets.zip")), Store())
    assert sizes(opened) == {"train": 8, "test": 2} and opened.load("train").names[0].startswith("Cat/")
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(DataError, match="not an archive in a supported format"):
        open_folder(FolderOptions(path=str(tmp_path / "note.txt")), Store())


def test_nothing_here_asks_for_kaggles_archive() -> None:
    with pytest.raises(DataError, match=r"(?s)1 file of catdog .*kagglecatsanddogs_5340\.zip"):
        open_catdog(CatdogOptions(split_seed=0), Store())


@pytest.mark.realdata
def test_the_real_photographs_are_all_there(tmp_path, monkeypatch) -> None:
    if not (data_root() / "cat_dog.zip").is_file():
        pytest.skip("needs cat_dog.zip under ZOO_DATA")
    opened = open_catdog(CatdogOptions(split_seed=0), Store())
    assert sizes(opened) == {"train": 1600, "test": 400, "predict": 200}
    assert np.bincount(opened.load("train").targets).tolist() == [800, 800]
