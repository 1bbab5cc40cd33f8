"""Folders of pictures: the layouts people have, and what each fault in them gets."""

from __future__ import annotations

import csv
import os
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.config.run_config import DatasetSection
from zoo.data.data_folder import Store
from zoo.data.data_loader import open_data
from zoo.errors import CheckpointError, DataError, Interrupted, UsageError, ZooError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import dataset_section, resolve

CPU = torch.device("cpu")


def paint(file: Path, seed: int = 0, size: tuple[int, int] = (20, 16)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(values).save(file, format="PNG")


def lay(root: Path, counts: Mapping[str, int]) -> Path:
    """``{"train/cat": 3}`` → three pictures there, all different."""
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
    data = opened(lay(tmp_path / "pictures", counts))
    assert data.samples == samples
    assert data.classes == ("cat", "dog", "hen")[: len(data.classes)]
    assert data.parts["test"].labels is not None
    assert data.preprocessing.shape == (3, 224, 224)


def test_a_division_is_the_same_each_time_and_takes_a_share_of_every_class(tmp_path) -> None:
    root = lay(tmp_path / "pictures", {"cat": 20, "dog": 10})
    first, again = opened(root), opened(root)
    assert list(first.parts["test"].names) == list(again.parts["test"].names)
    assert np.bincount(first.parts["test"].labels).tolist() == [4, 2]
    assert not set(first.parts["test"].names) & set(first.parts["train"].names)
    assert list(opened(root, split_seed=1).parts["test"].names) != list(first.parts["test"].names)
    assert np.bincount(opened(root, test_fraction=0.5).parts["test"].labels).tolist() == [10, 5]


def test_pictures_are_what_pillow_makes_of_the_files(tmp_path) -> None:
    root = lay(tmp_path / "pictures", SPLIT)
    view = opened(root, resize=24).parts["train"]
    for index, name in enumerate(view.names):
        with Image.open(root / name) as image:
            scale = 24 / min(image.size)
            scaled = image.convert("RGB").resize(
                (round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR
            )
            left, top = (scaled.width - 24) // 2, (scaled.height - 24) // 2
            expected = np.asarray(scaled.crop((left, top, left + 24, top + 24)))
        assert np.array_equal(view.pictures([index])[0], expected)
    assert [picture.shape for picture in view.originals[:4]] == [(3, 18, 20), (3, 18, 20), (3, 19, 20), (3, 19, 20)]


def test_classes_take_turns_so_that_the_first_pictures_show_them_all(tmp_path) -> None:
    view = opened(lay(tmp_path / "pictures", {**SPLIT, "train/hen": 2, "val/hen": 1})).parts["train"]
    assert view.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 0, 1, 0, 1, 0]
    assert view.names[:4] == ["train/cat/0.png", "train/dog/0.png", "train/hen/0.png", "train/cat/1.png"]


def write_table(file: Path, rows: list[tuple[str, ...]], columns: tuple[str, ...] = ("file", "label", "split")) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return file


def test_labels_come_from_a_csv(tmp_path) -> None:
    root = lay(tmp_path / "pictures", {"all": 8})
    rows = [(f"all/{index}.png", "odd" if index % 2 else "even", "train" if index < 4 else "val") for index in range(6)]
    rows += [("all/6.png", "", "test"), ("all/7.png", "", "test")]
    data = opened(root, labels=str(write_table(tmp_path / "labels.csv", rows)))
    assert data.classes == ("even", "odd")
    assert data.samples == {"train": 4, "test": 2, "predict": 2}
    assert data.parts["train"].labels.tolist() == [0, 1, 0, 1]


def test_a_csv_without_splits_is_divided(tmp_path) -> None:
    root = lay(tmp_path / "pictures", {"all": 8})
    rows = [(f"all/{index}.png", "odd" if index % 2 else "even") for index in range(8)]
    data = opened(root, labels=str(write_table(tmp_path / "labels.csv", rows, ("file", "label"))), test_fraction=0.25)
    assert data.samples == {"train": 6, "test": 2}


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        ([("all/0.png", "a")], ("file", "class"), "no column 'label'"),
        ([("all/0.png", "a"), ("all/9.png", "b")], ("file", "label"), r"line 3: there is no file 'all/9\.png'"),
        ([("all/0.png", "a"), ("all/0.png", "b")], ("file", "label"), "line 3: 'all/0.png' stands on line 2 already"),
        ([("all/0.png", "a"), ("all/1.png", "")], ("file", "label"), "'1.png' of split 'train' has no label"),
        ([("all/0.png", "a", "holdout")], ("file", "label", "split"), "line 2: 'holdout' is no split"),
        ([("all/0.png", "a", "test")], ("file", "label", "split"), "no rows to train on"),
    ],
)
def test_faults_of_a_table_name_the_line(tmp_path, rows, columns, words) -> None:
    root = lay(tmp_path / "pictures", {"all": 2})
    with pytest.raises(DataError, match=words):
        opened(root, labels=str(write_table(tmp_path / "labels.csv", rows, columns)))


# -------------------------------------------------------------------------------------------------- names and resolving


def test_the_path_behind_the_name_becomes_absolute_and_the_configuration_runs_again(tmp_path, monkeypatch) -> None:
    lay(tmp_path / "pictures", SPLIT)
    monkeypatch.chdir(tmp_path)
    config = resolve(registry(), "cnn_mnist", overrides={"dataset": {"name": "folder:pictures"}}).config
    assert (config.dataset.name, config.dataset.options["path"]) == ("datasets/folder", str(tmp_path / "pictures"))
    assert resolve(registry(), overrides=config.as_dict()).config == config


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "needs its path; fix: say folder:PATH"),
        ("digits:x", "takes nothing behind its name"),
        ("foldr:x", "did you mean folder"),
    ],
)
def test_names_with_and_without_an_argument(name, words) -> None:
    with pytest.raises(UsageError, match=words):
        resolve(registry(), "cnn_mnist", overrides={"dataset": {"name": name}})


def test_a_path_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"dataset\.path is given twice"):
        resolve(registry(), "cnn_mnist", overrides={"dataset": {"name": "folder:a", "path": "b"}})


# ------------------------------------------------------------------------------------------------------- FAULTS 27 – 38


def loop(root: Path) -> None:
    (root / "train" / "cat" / "again").symlink_to(root / "train", target_is_directory=True)


def cut(root: Path) -> None:
    (root / "train/cat/0.png").write_bytes((root / "train/cat/1.png").read_bytes()[:200])


def self_link(root: Path) -> None:
    (root / "train" / "cat" / "me.png").symlink_to(root / "train" / "cat" / "me.png")


FAULTS: dict[str, tuple[Mapping[str, int], Callable[[Path], None] | None, str]] = {
    "case 27 missing": ({}, None, "does not exist"),
    "case 28 empty": ({".": 0}, None, "no class folders with pictures"),
    "case 28 empty train": ({"train": 0, "val/cat": 1}, None, "no class folders with pictures in it .*train"),
    "case 29 one class": ({"train/cat": 3, "val/cat": 1}, None, "there is one class, 'cat'"),
    "case 30 an empty class": ({**SPLIT, "train/hen": 0}, None, "the class 'hen' has no pictures"),
    "case 31 classes differ": (
        {**SPLIT, "train/hen": 2, "val/cow": 2}, None,
        "train and val have different classes: only in val: cow; only in train: hen"
    ),
    "case 32 case alone": ({"train/Cat": 2, "train/cat": 2, "train/dog": 2}, None,
    "'Cat' and 'cat' differ in case alone"),
    "case 34 a circle of links": (SPLIT, loop, "leads back to a folder that it is in .*again"),
    "case 34 a link to itself": (SPLIT, self_link, r"leads nowhere: .*me\.png"),
    "case 35 unreadable": (SPLIT, cut, r"cannot be read.*train/cat/0\.png"),
    "no picture at all": (SPLIT, lambda root: (root / "train/cat/0.png").write_text("hello"),
    r"is no picture.*train/cat/0\.png"),
    "two of a split": ({**SPLIT, "validation/cat": 1, "validation/dog": 1}, None,
    "'val' and 'validation' are both the val split"),
    "nothing to train on": ({"val/cat": 1, "val/dog": 1}, None, "there is a folder 'val', and none to train on"),
    "one of a class": ({"cat": 1, "dog": 3}, None, "the class 'cat' has one picture"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_folders_are_one_line_of_exit_code_3(tmp_path, fault) -> None:
    counts, change, words = FAULTS[fault]
    root = tmp_path / "pictures"
    lay(root, counts)
    if change:
        change(root)
    with pytest.raises(DataError, match=words) as caught:
        opened(root)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert "; fix: " in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_case_33_stray_files_are_ignored_and_counted(tmp_path) -> None:
    root = lay(tmp_path / "pictures", SPLIT)
    for name in (".DS_Store", "train/notes.txt", "train/cat/scene.xml", "val/dog/.hidden"):
        (root / name).write_text("x")
    data = opened(root)
    assert data.samples == {"train": 11, "test": 5}
    assert any("3 files or folders that are no pictures of a class are ignored" in note for note in data.notes)


def test_case_35_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch) -> None:
    root = lay(tmp_path / "pictures", SPLIT)
    digest = Store.digest

    def refuse(self, path):
        if path.name == "3.png":
            raise PermissionError(13, "Permission denied")
        return digest(self, path)

    monkeypatch.setattr(Store, "digest", refuse)
    with pytest.raises(DataError, match=r"Permission denied.*3\.png"):
        opened(root)


def test_case_35_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch) -> None:
    root = lay(tmp_path / "pictures", SPLIT)
    listed = Path.iterdir

    def refuse(self):
        if self.name == "dog":
            raise PermissionError(13, "Permission denied")
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=r"the folder cannot be read: Permission denied.*dog"):
        opened(root)


def test_case_36_a_label_out_of_range(tmp_path, monkeypatch) -> None:
    from zoo_datasets.folder import Folder

    root = lay(tmp_path / "pictures", SPLIT)
    load = Folder.load

    def beyond(self, split):
        loaded = load(self, split)
        loaded.labels[0] = 2
        return loaded

    monkeypatch.setattr(Folder, "load", beyond)
    with pytest.raises(DataError, match="the label 2, outside 0…1"):
        opened(root)


QUICK = {"train": {"epochs": 3, "batch_size": 4}, "device": "cpu"}


def stopped_run(root: Path, where: Path, **options) -> Path:
    class Interrupt(Console):
        def step(self, progress, batch_samples):
            if progress.step == 2:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        zoo.run(
            "cnn_mnist",
            overrides={**QUICK, "dataset": {"name": f"folder:{root}", **options}},
            out=where,
            console=Interrupt(quiet=True),
        )
    return where


def test_case_37_data_that_changed_since_the_checkpoint_is_not_resumed_on(tmp_path) -> None:
    root = lay(tmp_path / "pictures", SPLIT)
    where = stopped_run(root, tmp_path / "run")
    paint(root / "train/cat/0.png", seed=99)
    changed = opened(root).notes
    paint(root / "train/cat/0.png", seed=98)
    with pytest.raises(CheckpointError, match="the data has changed since the checkpoint \\("):
        zoo.run(resume=where, console=Console(quiet=True))
    assert any(
        re.fullmatch(r"1 file changed since last read, the first of them .*cat/0\.png", note) for note in changed
    ), changed
    (root / "train/cat/0.png").unlink()
    with pytest.raises(CheckpointError, match="since the checkpoint: 11 → 10 train samples"):
        zoo.run(resume=where, console=Console(quiet=True))


def test_case_38_a_file_that_vanished_is_named_and_the_run_goes_on_once_it_is_back(tmp_path) -> None:
    root = lay(tmp_path / "pictures", SPLIT)
    rows = [
        (file.relative_to(root).as_posix(), file.parent.name, file.parent.parent.name)
        for file in sorted(root.rglob("*.png"))
    ]
    table = write_table(tmp_path / "labels.csv", rows)

    where = stopped_run(root, tmp_path / "run", labels=str(table))
    kept = (root / "train/cat/0.png").read_bytes()
    (root / "train/cat/0.png").unlink()
    with pytest.raises(DataError, match=r"there is no file 'train/cat/0\.png'"):
        zoo.run(resume=where, console=Console(quiet=True))
    (root / "train/cat/0.png").write_bytes(kept)
    assert zoo.run(resume=where, console=Console(quiet=True)).record.status == "finished"


def test_case_38_a_file_that_vanishes_in_the_middle_is_named_and_the_run_goes_on_once_it_is_back(tmp_path) -> None:
    root = lay(tmp_path / "pictures", SPLIT)
    kept = (root / "val/cat/1.png").read_bytes()

    class Remove(Console):
        def step(self, progress, batch_samples):
            (root / "val/cat/1.png").unlink(missing_ok=True)

    with pytest.raises(DataError, match=r"cannot be read: .*val/cat/1\.png.*; fix: .*restore") as caught:
        zoo.run(
            "cnn_mnist",
            overrides={**QUICK, "dataset": {"name": f"folder:{root}"}},
            out=tmp_path / "run",
            console=Remove(quiet=True),
        )
    assert caught.value.exit_code == 3
    (root / "val/cat/1.png").write_bytes(kept)
    result = zoo.run(resume=tmp_path / "run", console=Console(quiet=True))
    assert result.record.status == "finished"
    assert (tmp_path / "run" / "report.html").is_file()


def test_case_9_resize_never_with_pictures_of_different_sizes(tmp_path) -> None:
    root = lay(tmp_path / "pictures", SPLIT)
    with pytest.raises(
        UsageError, match=r"the pictures may differ in size and cnn needs 28×28 .*dataset\.resize=never"
    ):
        zoo.run(
            "cnn", overrides={"dataset": {"name": f"folder:{root}", "resize": "never"}}, console=Console(quiet=True)
        )


# ---------------------------------------------------------------------------------------------------------- a whole run


def test_a_folder_trains_is_judged_predicted_and_exported(tmp_path) -> None:
    root = lay(tmp_path / "pictures", {**SPLIT, "test": 3})
    result = zoo.run(
        "cnn_mnist",
        overrides={**QUICK, "dataset": {"name": f"folder:{root}"}},
        out=tmp_path / "run",
        console=Console(quiet=True),
    )
    assert result.record.classes == ["cat", "dog"]
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
    root = lay(tmp_path / "pictures", {f"train/{name}": 3, "train/other": 3, f"val/{name}": 1, "val/other": 1})
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
