"""Folders of images: the layouts people have, and what each fault in them gets."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.api import Classes
from zoo.config.run_config import DatasetSection
from zoo.data.data_loader import open_data
from zoo.errors import DataError, UsageError, ZooError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import dataset_section, resolve

CPU = torch.device("cpu")


def paint(file: Path, seed: int = 0, size: tuple[int, int] = (20, 16)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(values).save(file, format="PNG")


def lay(root: Path, counts: Mapping[str, int]) -> Path:
    """``{"train/cat": 3}`` → three images there, all different."""
    for seed, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            paint(root / folder / f"{index}.png", seed=1000 * seed + index, size=(18 + index % 5, 20))
    return root


def opened(root: Path, **options):
    return open_data(registry(), dataset_section(registry(), f"folder:{root}", **options), CPU)


SPLIT = {"train/cat": 6, "train/dog": 5, "val/cat": 2, "val/dog": 3}


@pytest.mark.parametrize(
    ("counts", "samples"),
    [
        (SPLIT, {"train": 11, "test": 5}),
        ({**SPLIT, "test/cat": 2, "test/dog": 2}, {"train": 11, "val": 5, "test": 4}),
        ({**SPLIT, "test": 4}, {"train": 11, "test": 5, "predict": 4}),
        ({**SPLIT, "test/unknown": 4}, {"train": 11, "test": 5, "predict": 4}),
        ({"train/cat": 6, "train/dog": 5, "test/cat": 2, "test/dog": 2}, {"train": 11, "test": 4}),
        ({"train/cat": 10, "train/dog": 5, "test": 3}, {"train": 12, "test": 3, "predict": 3}),
        ({"cat": 10, "dog": 20, "hen": 2}, {"train": 25, "test": 7}),
        ({"training/cat": 3, "training/dog": 3, "Validation/cat": 2, "Validation/dog": 2}, {"train": 6, "test": 4}),
    ],
    ids=" ".join,
)
def test_layouts_and_what_each_part_is_for(tmp_path, counts, samples) -> None:
    data = opened(lay(tmp_path / "images", counts))
    assert data.samples == samples
    assert data.classes == ("cat", "dog", "hen")[: len(data.classes)]
    assert data.parts["test"].targets is not None
    assert data.preprocessing.shape == (3, 224, 224)


def test_a_division_is_the_same_each_time_and_takes_a_share_of_every_class(tmp_path) -> None:
    root = lay(tmp_path / "images", {"cat": 20, "dog": 10})
    first, again = opened(root), opened(root)
    assert list(first.parts["test"].names) == list(again.parts["test"].names)
    assert np.bincount(first.parts["test"].targets).tolist() == [4, 2]
    assert not set(first.parts["test"].names) & set(first.parts["train"].names)
    assert list(opened(root, split_seed=1).parts["test"].names) != list(first.parts["test"].names)
    assert np.bincount(opened(root, test_fraction=0.5).parts["test"].targets).tolist() == [10, 5]


def test_images_are_what_pillow_makes_of_the_files(tmp_path) -> None:
    root = lay(tmp_path / "images", SPLIT)
    view = opened(root, resize=24).parts["train"]
    for index, name in enumerate(view.names):
        with Image.open(root / name) as image:
            scale = 24 / min(image.size)
            scaled = image.convert("RGB").resize(
                (round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR
            )
            left, top = (scaled.width - 24) // 2, (scaled.height - 24) // 2
            expected = np.asarray(scaled.crop((left, top, left + 24, top + 24)))
        assert np.array_equal(view.images_of([index])[0], expected)
    assert [raw.shape for raw in view.raw_images[:4]] == [(3, 18, 20), (3, 18, 20), (3, 19, 20), (3, 19, 20)]


def test_classes_take_turns_so_that_the_first_images_show_them_all(tmp_path) -> None:
    view = opened(lay(tmp_path / "images", {**SPLIT, "train/hen": 2, "val/hen": 1})).parts["train"]
    assert view.targets.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 0, 1, 0, 1, 0]
    assert view.names[:4] == ["train/cat/0.png", "train/dog/0.png", "train/hen/0.png", "train/cat/1.png"]


def write_table(file: Path, rows: list[tuple[str, ...]], columns: tuple[str, ...] = ("file", "label", "split")) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return file


def test_labels_come_from_a_csv(tmp_path) -> None:
    root = lay(tmp_path / "images", {"all": 8})
    rows = [(f"all/{index}.png", "odd" if index % 2 else "even", "train" if index < 4 else "val") for index in range(6)]
    rows += [("all/6.png", "", "test"), ("all/7.png", "", "test")]
    data = opened(root, labels=str(write_table(tmp_path / "labels.csv", rows)))
    assert data.classes == ("even", "odd")
    assert data.samples == {"train": 4, "test": 2, "predict": 2}
    assert data.parts["train"].targets.tolist() == [0, 1, 0, 1]


def test_a_csv_without_splits_is_divided(tmp_path) -> None:
    root = lay(tmp_path / "images", {"all": 8})
    rows = [(f"all/{index}.png", "odd" if index % 2 else "even") for index in range(8)]
    data = opened(root, labels=str(write_table(tmp_path / "labels.csv", rows, ("file", "label"))), test_fraction=0.25)
    assert data.samples == {"train": 6, "test": 2}


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        ([("all/0.png", "a")], ("file", "class"), "no column 'label'"),
        ([("all/0.png", "a"), ("all/9.png", "b")], ("file", "label"), r"line 3: there is no file 'all/9\.png'"),
        ([("all/0.png", "a"), ("all/0.png", "b")], ("file", "label"), "line 3: 'all/0.png' is already on line 2"),
        ([("all/0.png", "a"), ("all/1.png", "")], ("file", "label"), "'1.png' of split 'train' has no label"),
        ([("all/0.png", "a", "holdout")], ("file", "label", "split"), "line 2: 'holdout' is not a split"),
        ([("all/0.png", "a", "test")], ("file", "label", "split"), "no rows to train on"),
    ],
)
def test_faults_of_a_table_name_the_line(tmp_path, rows, columns, words) -> None:
    root = lay(tmp_path / "images", {"all": 2})
    with pytest.raises(DataError, match=words):
        opened(root, labels=str(write_table(tmp_path / "labels.csv", rows, columns)))


# -------------------------------------------------------------------------------------------------- names and resolving


def test_the_path_behind_the_name_becomes_absolute_and_the_configuration_runs_again(tmp_path, monkeypatch) -> None:
    lay(tmp_path / "images", SPLIT)
    monkeypatch.chdir(tmp_path)
    config = resolve(registry(), "cnn_mnist", overrides={"dataset": {"name": "folder:images"}}).config
    assert (config.dataset.name, config.dataset.options["path"]) == ("datasets/folder", str(tmp_path / "images"))
    assert resolve(registry(), overrides=config.as_dict()).config == config


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "needs its path; fix: say folder:PATH"),
        ("digits:x", "takes no path"),
        ("foldr:x", "did you mean folder"),
    ],
)
def test_names_with_and_without_an_argument(name, words) -> None:
    with pytest.raises(UsageError, match=words):
        resolve(registry(), "cnn_mnist", overrides={"dataset": {"name": name}})


def test_a_path_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"dataset\.path is given twice"):
        resolve(registry(), "cnn_mnist", overrides={"dataset": {"name": "folder:a", "path": "b"}})


QUICK = {"train": {"epochs": 3, "batch_size": 4}, "device": "cpu"}


# ---------------------------------------------------------------------------------------------------------- a whole run


def test_a_folder_trains_is_judged_predicted_and_exported(tmp_path) -> None:
    root = lay(tmp_path / "images", {**SPLIT, "test": 3})
    result = zoo.run(
        "cnn_mnist",
        overrides={**QUICK, "dataset": {"name": f"folder:{root}"}},
        out=tmp_path / "run",
        console=Console(quiet=True),
    )
    assert result.record.target == Classes(names=("cat", "dog"))
    assert result.record.classes == ("cat", "dog")
    assert result.record.samples == {"train": 11, "test": 5, "predict": 3}
    assert (result.path / "predictions.csv").read_text().splitlines()[1].startswith("val/cat/0.png,cat,")
    assert len(list((result.path / "samples").glob("*.png"))) == 5
    assert zoo.evaluate(result.path).metrics["accuracy"] == result.metrics["accuracy"]
    bundle = zoo.export(str(result.path))
    assert bundle.verification["real"]["dataset"] == "datasets/folder"
    predicted = zoo.predict(bundle.path, [root / "test"])
    assert len(predicted.rows) == 3


@pytest.mark.parametrize("name", ["<b>x", 'say "hi"', "a b", "naïve ☃", "line\nbreak"])
def test_class_names_may_be_anything_a_folder_may_be_called(tmp_path, name) -> None:
    root = lay(tmp_path / "images", {f"train/{name}": 3, "train/other": 3, f"val/{name}": 1, "val/other": 1})
    result = zoo.run(
        "cnn_mnist",
        overrides={**QUICK, "dataset": {"name": f"folder:{root}"}},
        out=tmp_path / "run",
        console=Console(quiet=True),
    )
    assert name in result.record.classes


def test_errors_are_of_the_tree() -> None:
    assert issubclass(DataError, ZooError)
    with pytest.raises(UsageError):
        dataset_section(registry(), "folder")
    assert isinstance(dataset_section(registry(), "digits"), DatasetSection)
