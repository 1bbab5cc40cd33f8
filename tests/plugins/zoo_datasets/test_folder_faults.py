"""Folders that are wrong: cases 27 to 38 of the list of faults."""

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
from zoo.data.data_folder import Store
from zoo.data.data_loader import open_data
from zoo.errors import CheckpointError, DataError, Interrupted, UsageError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import dataset_section

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


def write_table(file: Path, rows: list[tuple[str, ...]], columns: tuple[str, ...] = ("file", "label", "split")) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return file


def loop(root: Path) -> None:
    (root / "train" / "cat" / "again").symlink_to(root / "train", target_is_directory=True)


def cut(root: Path) -> None:
    (root / "train/cat/0.png").write_bytes((root / "train/cat/1.png").read_bytes()[:200])


def self_link(root: Path) -> None:
    (root / "train" / "cat" / "me.png").symlink_to(root / "train" / "cat" / "me.png")


FAULTS: dict[str, tuple[Mapping[str, int], Callable[[Path], None] | None, str]] = {
    "case 27 missing": ({}, None, "does not exist"),
    "case 28 empty": ({".": 0}, None, "no class folders with images"),
    "case 28 empty train": ({"train": 0, "val/cat": 1}, None, "no class folders with images in it .*train"),
    "case 29 one class": ({"train/cat": 3, "val/cat": 1}, None, "there is only one class, 'cat'"),
    "case 30 an empty class": ({**SPLIT, "train/hen": 0}, None, "the class 'hen' has no images"),
    "case 31 classes differ": (
        {**SPLIT, "train/hen": 2, "val/cow": 2}, None,
        "train and val have different classes: only in val: cow; only in train: hen"
    ),
    "case 32 case alone": ({"train/Cat": 2, "train/cat": 2, "train/dog": 2}, None,
    "'Cat' and 'cat' differ in case alone"),
    "case 34 a circle of links": (SPLIT, loop, "leads back to a folder that it is in .*again"),
    "case 34 a link to itself": (SPLIT, self_link, r"is a broken link to .*me\.png"),
    "case 35 unreadable": (SPLIT, cut, r"cannot be read.*train/cat/0\.png"),
    "no image at all": (SPLIT, lambda root: (root / "train/cat/0.png").write_text("hello"),
    r"is not an image.*train/cat/0\.png"),
    "two of a split": ({**SPLIT, "validation/cat": 1, "validation/dog": 1}, None,
    "'val' and 'validation' are both the val split"),
    "nothing to train on": ({"val/cat": 1, "val/dog": 1}, None, "there is a folder 'val', but no train folder"),
    "one of a class": ({"cat": 1, "dog": 3}, None, "the class 'cat' has one image"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_folders_are_one_line_of_exit_code_3(tmp_path, fault) -> None:
    counts, change, words = FAULTS[fault]
    root = tmp_path / "images"
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
    root = lay(tmp_path / "images", SPLIT)
    for name in (".DS_Store", "train/notes.txt", "train/cat/scene.xml", "val/dog/.hidden"):
        (root / name).write_text("x")
    data = opened(root)
    assert data.samples == {"train": 11, "test": 5}
    assert any("3 files or folders that are no images of a class are ignored" in note for note in data.notes)


def test_case_35_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch) -> None:
    root = lay(tmp_path / "images", SPLIT)
    digest = Store.digest

    def refuse(self, path):
        if path.name == "3.png":
            raise PermissionError(13, "Permission denied")
        return digest(self, path)

    monkeypatch.setattr(Store, "digest", refuse)
    with pytest.raises(DataError, match=r"Permission denied.*3\.png"):
        opened(root)


def test_case_35_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch) -> None:
    root = lay(tmp_path / "images", SPLIT)
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

    root = lay(tmp_path / "images", SPLIT)
    load = Folder.load

    def beyond(self, split):
        loaded = load(self, split)
        loaded.targets[0] = 2
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
    root = lay(tmp_path / "images", SPLIT)
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
    root = lay(tmp_path / "images", SPLIT)
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
    root = lay(tmp_path / "images", SPLIT)
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


def test_case_9_resize_never_with_images_of_different_sizes(tmp_path) -> None:
    root = lay(tmp_path / "images", SPLIT)
    with pytest.raises(UsageError, match=r"the images may differ in size, but cnn needs 28×28 .*dataset\.resize=never"):
        zoo.run(
            "cnn", overrides={"dataset": {"name": f"folder:{root}", "resize": "never"}}, console=Console(quiet=True)
        )
