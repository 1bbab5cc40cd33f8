"""Which layout a folder of images has, where its names allow for more than one; and names that differ in their Unicode
form alone."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from zoo_datasets.folder import open_held_out
from zoo_datasets.folder_layout import class_name, code_points
from zoo_datasets.options import FolderOptions

import zoo
from zoo.data.data_loader import Data, open_data
from zoo.errors import ConfigError, DataError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import dataset_section

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def paint(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file, format="PNG")


def lay(root: Path, counts: Mapping[str, int]) -> Path:
    """``{"train/cat": 3}`` → three images there, all different."""
    for seed, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            paint(root / folder / f"{index}.png", seed=1000 * seed + index)
    return root


def opened(root: Path, **options: object) -> Data:
    return open_data(
        registry(), dataset_section(registry(), f"folder:{root}", resize=8, **options), torch.device("cpu")
    )


def count(data: Data) -> int:
    return sum(data.samples.values())


BESIDE = {"bus": 5, "car": 5, "train": 5}
INSIDE = {"bus": 5, "car": 5, "train/steam": 3, "train/electric": 3}


@pytest.mark.parametrize(
    ("counts", "classes"),
    [
        (BESIDE, ("bus", "car", "train")),
        (INSIDE, ("bus", "car", "train")),
        ({"valid": 3, "invalid": 3}, ("invalid", "valid")),
        ({"bus": 3, "Test": 3}, ("Test", "bus")),
        # not the same classes in both
        (
            {"bus": 3, "train/a": 2, "train/b": 2, "test/c": 2, "test/d": 2},
            ("bus", "test", "train"),
        ),
        ({"bus": 3, "train/a": 2, "test/a": 2}, ("bus", "test", "train")),  # one class each: nothing to tell apart
        ({"bus": 3, "val": 3, "valid": 3}, ("bus", "val", "valid")),
    ],
    ids=str,
)
def test_a_class_may_have_the_name_of_a_split(
    tmp_path: Path, counts: Mapping[str, int], classes: tuple[str, ...]
) -> None:
    data = opened(lay(tmp_path / "images", counts))
    assert data.classes == classes
    assert count(data) == sum(counts.values())
    assert any("read as" in note and "dataset.layout=splits" in note for note in data.notes)


@pytest.mark.parametrize(
    "counts",
    [
        {"train/cat": 3, "train/dog": 3, "val/cat": 2, "val/dog": 2},
        {"train/cat": 3, "train/dog": 3, "test/cat": 2, "test/dog": 2},
        {"train/cat": 3, "train/dog": 3, "test": 2},
        {"train/cat": 3, "train/dog": 3},
        {"train/cat": 3, "train/dog": 3, "val/cat": 2, "val/dog": 2, "notes": 0},  # a folder without images is no class
        {"train/cat": 3, "train/dog": 3, "val/cat": 2, "val/dog": 2, "run/plots": 2},
    ],
    ids=str,
)
def test_splits_alone_are_splits(tmp_path: Path, counts: Mapping[str, int]) -> None:
    assert opened(lay(tmp_path / "images", counts)).classes == ("cat", "dog")


@pytest.mark.parametrize(
    "held_out", [{"val/cat": 2, "val/dog": 2}, {"test/cat": 2, "test/dog": 2}, {"test": 3}], ids=str
)
def test_a_folder_that_can_be_read_in_two_ways_is_refused_until_one_is_chosen(
    tmp_path: Path, held_out: Mapping[str, int]
) -> None:
    root = lay(tmp_path / "images", {"train/cat": 4, "train/dog": 4, **held_out, "bus": 2, "car": 2})
    with pytest.raises(DataError) as caught:
        opened(root)
    other = next(iter(held_out)).partition("/")[0]
    told = str(caught.value)
    assert caught.value.exit_code == 3
    assert f"splits '{other}', 'train'" in told or f"splits 'train', '{other}'" in told
    assert "without 'bus', 'car'" in told
    assert f"classes 'bus', 'car', {', '.join(sorted((repr('train'), repr(other))))}" in told
    assert "dataset.layout=splits or dataset.layout=classes" in told
    assert opened(root, layout="splits").classes == ("cat", "dog")
    assert opened(root, layout="classes").classes == ("bus", "car", *sorted(("train", other)))


def test_splits_without_classes_are_refused_until_they_are_called_classes(tmp_path: Path) -> None:
    root = lay(tmp_path / "images", {"train": 4, "test": 4})
    with pytest.raises(DataError, match=r"'test', 'train' have no class folders in them.*dataset\.layout=classes"):
        opened(root)
    data = opened(root, layout="classes")
    assert data.classes == ("test", "train") and count(data) == 8


def test_the_layout_of_splits_ignores_other_folders_and_needs_one_split(tmp_path: Path) -> None:
    data = opened(lay(tmp_path / "some", INSIDE), layout="splits")
    assert data.classes == ("electric", "steam") and count(data) == 6
    with pytest.raises(DataError, match="no folder has the name of a split"):
        opened(lay(tmp_path / "none", {"bus": 2, "car": 2}), layout="splits")


def test_a_layout_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.layout: must be 'auto', 'classes' or 'splits'"):
        opened(lay(tmp_path / "images", BESIDE), layout="flat")


# -------------------------------------------------------------------------------------------------------- Unicode forms


def test_one_class_name_in_two_unicode_forms_is_one_class(tmp_path: Path) -> None:
    root = lay(tmp_path / "images", {f"train/{NFD}": 3, "train/tea": 3, f"val/{NFC}": 2, "val/tea": 2})
    data = opened(root)
    assert data.classes == (NFC, "tea")
    assert data.samples == {"train": 6, "test": 4}
    assert all(unicodedata.is_normalized("NFC", name) for part in data.parts.values() for name in part.names)


def test_two_folders_with_one_class_name_are_refused_with_their_code_points(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        opened(lay(tmp_path / "images", {NFD: 3, NFC: 3, "tea": 3}))
    assert caught.value.exit_code == 3
    assert "(U+0063 U+0061 U+0066 U+00E9)" in str(caught.value)
    assert "(U+0063 U+0061 U+0066 U+0065 U+0301)" in str(caught.value)


def test_a_copy_with_names_in_another_form_is_the_same_data(tmp_path: Path) -> None:
    """A Mac's file system gives NFD, others what was written."""
    first, copy = lay(tmp_path / "first", {NFC: 4, "tea": 4, "zoo": 3}), tmp_path / "copy"
    shutil.copytree(first, copy)
    (copy / NFC).rename(copy / NFD)
    assert opened(first).fingerprint == opened(copy).fingerprint


@pytest.mark.parametrize("form", [NFC, NFD])
def test_classes_are_chosen_by_either_form(tmp_path: Path, form: str) -> None:
    data = opened(lay(tmp_path / "images", {NFD: 3, "tea": 3, "milk": 3}), classes=["tea", form])
    assert data.classes == ("tea", NFC) and count(data) == 6


def test_the_name_of_a_class_is_nfc_without_undecodable_bytes() -> None:
    assert class_name(NFD) == NFC
    assert class_name("caf\udce9") == r"caf\xe9"
    assert code_points("é") == "'é' (U+00E9)"


# ------------------------------------------------------------------------------------------------------------- held out


@pytest.mark.parametrize(
    ("counts", "name", "samples", "classes"),
    [
        ({"test/cat": 2, "test/dog": 3}, "test", 5, ("cat", "dog")),
        ({"cat": 2, "dog": 3}, "all", 5, ("cat", "dog")),
        ({"cat": 4}, "all", 4, ("cat",)),
        ({"test/cat": 4}, "test", 4, ("cat",)),
        ({"train/cat": 5, "train/dog": 5, "val/cat": 2, "val/dog": 1}, "val", 3, ("cat", "dog")),
        (
            {"train/cat": 5, "train/dog": 5, "val/cat": 2, "val/dog": 2, "test/cat": 1, "test/dog": 2},
            "test",
            3,
            ("cat", "dog"),
        ),
        ({"train/cat": 5, "train/dog": 4, "test": 2}, "train", 9, ("cat", "dog")),
    ],
    ids=str,
)
def test_all_that_is_held_out_is_opened_to_evaluate_on(
    tmp_path: Path, counts: Mapping[str, int], name: str, samples: int, classes: tuple[str, ...]
) -> None:
    from zoo.data.data_folder import Store

    dataset = open_held_out(FolderOptions(path=str(lay(tmp_path / "images", counts))), Store())
    assert dataset.parts == {"test": name}
    assert dataset.target.names == classes
    split = dataset.load(name)
    assert len(split.images) == samples
    assert split.targets is not None and np.bincount(split.targets).tolist() == [
        sum(1 for label in split.targets if label == index) for index in range(len(classes))
    ]


def test_images_without_labels_are_nothing_to_evaluate_on(tmp_path: Path) -> None:
    from zoo.data.data_folder import Store

    with pytest.raises(DataError, match="no labelled images to evaluate on"):
        open_held_out(FolderOptions(path=str(lay(tmp_path / "images", {"test": 3}))), Store())


# ------------------------------------------------------------------------------------------------------- dangling links


SPLIT = {"train/cat": 4, "train/dog": 4, "val/cat": 2, "val/dog": 2}


def test_a_dangling_link_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    root = lay(tmp_path / "images", SPLIT)
    (root / "train/cat/gone.png").symlink_to(tmp_path / "unmounted" / "7.png")
    with pytest.raises(
        DataError, match=r"is a broken link to .*unmounted/7\.png.*train/cat/gone\.png.*--skip-bad-images"
    ):
        opened(root)
    data = opened(root, skip_bad_images=True)
    assert data.samples == {"train": 8, "test": 4}
    (left_out,) = data.quarantine
    assert left_out["sample"] == "train/cat/gone.png" and "is a broken link" in left_out["reason"]


def test_evaluation_does_not_skip_a_dangling_link(tmp_path: Path) -> None:
    root = lay(tmp_path / "images", SPLIT)
    (root / "val/cat/gone.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match="is a broken link to"):
        opened(root, skip_bad_images=True)


def test_a_link_to_a_folder_that_is_away_is_no_bad_image(tmp_path: Path) -> None:
    root = lay(tmp_path / "images", SPLIT)
    (root / "train/cat/more").symlink_to(tmp_path / "unmounted", target_is_directory=True)
    with pytest.raises(DataError, match="this link is broken"):
        opened(root, skip_bad_images=True)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not UTF-8")
def test_a_file_name_that_is_not_utf_8_trains_and_is_shown_escaped(tmp_path: Path) -> None:
    root = lay(tmp_path / "images", SPLIT)
    (root / "val/cat/0.png").rename(root / "val/cat" / "caf\udce9.png")
    overrides = {"dataset": {"name": f"folder:{root}", "resize": 16}, "device": "cpu"}
    result = zoo.run("fnn", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    assert result.path is not None
    for name in ("predictions.csv", "report.html"):
        assert (result.path / name).read_bytes().decode("utf-8")
    assert r"val/cat/caf\xe9.png" in (result.path / "predictions.csv").read_text(encoding="utf-8")
    again = opened(root)
    assert r"val/cat/caf\xe9.png" in again.parts["test"].names
    assert not [note for note in opened(root).notes if "changed since" in note]
