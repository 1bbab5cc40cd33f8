"""A user's folder with several labels or numbers for each image: what it is read as, and what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zoo_datasets.folder import Folder, open_folder, open_held_out
from zoo_datasets.folder_kind import target_kind
from zoo_datasets.options import FolderOptions

from zoo.api import Classes, MultiLabel, Values
from zoo.cli.app import run_cli
from zoo.data.data_folder import Store
from zoo.errors import DataError, UsageError

Rows = Sequence[Sequence[object]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten images of different shades, without folders."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(10):
        Image.new("L", (8, 8), 20 * index).save(folder / f"{index}.png")
    return folder


def write(file: Path, header: Sequence[str], rows: Rows) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return file


def options_of(root: Path, **given: object) -> FolderOptions:
    return FolderOptions.model_validate({"path": str(root), **given})


def opened(root: Path, **given: object) -> tuple[Folder, Store]:
    store = Store(download=False)
    return open_folder(options_of(root, **given), store), store


TAGS = [
    (f"{index}.png", "; ".join(name for name, step in (("even", 2), ("third", 3)) if index % step == 0))
    for index in range(10)
]
BINARY = [(f"{index}.png", int(index % 2 == 0), int(index % 3 == 0)) for index in range(10)]
NUMBERS = [(f"{index}.png", index / 2, -index) for index in range(10)]


def test_a_column_of_labels_is_multi_label(root: Path) -> None:
    write(root / "labels.csv", ("file", "labels"), TAGS)
    assert target_kind(options_of(root)) == "multi_label"
    data, store = opened(root)
    assert data.target == MultiLabel(names=("even", "third"))
    assert data.parts == {"train": "train", "test": "val"}
    for split in ("train", "val"):
        loaded = data.load(split)
        indices = [int(Path(name).stem) for name in loaded.names or ()]
        assert np.asarray(loaded.targets).tolist() == [[index % 2 == 0, index % 3 == 0] for index in indices]
    assert len(data.samples("val")) == 2
    assert any("read as multi-label: column 'labels' of labels.csv" in note for note in store.notes)


def test_columns_of_0_and_1_are_the_same_labels(root: Path, tmp_path: Path) -> None:
    data, _ = opened(root, labels=str(write(tmp_path / "b.csv", ("file", "even", "third"), BINARY)))
    tags, _ = opened(root, labels=str(write(tmp_path / "t.csv", ("file", "tags"), TAGS)))
    assert data.target == tags.target and data.fingerprint == tags.fingerprint
    only, _ = opened(root, labels=str(tmp_path / "b.csv"), columns=["third"])
    assert only.target == MultiLabel(names=("third",))


def test_numbers_are_values_with_their_units(root: Path) -> None:
    table = write(root / "n.csv", ("file", "weight [kg]", "place"), NUMBERS)
    for path in (root, table):  # the folder with one table, or the table itself
        data, store = opened(path)
        assert data.target == Values(names=("weight", "place"), units=("kg", ""))
        loaded = data.load("train")
        indices = [int(Path(name).stem) for name in loaded.names or ()]
        np.testing.assert_array_equal(loaded.targets, np.array([[index / 2, -index] for index in indices], np.float32))
        assert any("read as regression: 2 columns of n.csv (weight [kg], place)" in note for note in store.notes)
    plain, _ = opened(root, columns=["place"])
    assert plain.target == Values(names=("place",))


def test_integers_in_a_column_label_are_classes_unless_the_option_says_values(root: Path) -> None:
    table = str(write(root / "n.csv", ("file", "label"), [(f"{index}.png", index % 3) for index in range(10)]))
    data, store = opened(root, labels=table)
    assert data.target == Classes(names=("0", "1", "2"))
    assert any("names of classes; dataset.target=values" in note for note in store.notes)
    assert opened(root, labels=table, target="values")[0].target == Values(names=("label",))


def test_a_column_label_is_split_only_if_the_option_says_so(root: Path) -> None:
    table = str(
        write(root / "n.csv", ("file", "label"), [(f"{index}.png", "a|b" if index % 2 else "a") for index in range(10)])
    )
    assert opened(root, labels=table)[0].target == Classes(names=("a", "a|b"))
    data, _ = opened(root, labels=table, target="multi_label", label_separator="|")
    assert data.target == MultiLabel(names=("a", "b"))


def test_splits_and_images_to_predict(root: Path) -> None:
    splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    rows = [
        (*row[:2], split) if split != "test" else (row[0], "", split) for row, split in zip(TAGS, splits, strict=True)
    ]
    data, _ = opened(root, labels=str(write(root / "t.csv", ("file", "labels", "split"), rows)))
    assert data.parts == {"train": "train", "test": "val", "predict": "test"}
    assert data.load("test").targets is None
    held_out = open_held_out(options_of(root), Store(download=False))
    assert held_out.parts == {"test": "val"}


def test_folders_by_tag_merge_the_copies_of_an_image(tmp_path: Path) -> None:
    for tag, indices in (("beach", range(6)), ("dog", range(4, 10))):
        (tmp_path / "tags" / tag).mkdir(parents=True)
        for index in indices:
            Image.new("L", (8, 8), 20 * index).save(tmp_path / "tags" / tag / f"{tag}{index}.png")
    assert target_kind(options_of(tmp_path / "tags")) == "classes"
    data, store = opened(tmp_path / "tags", target="multi_label", test_fraction=0.5)
    assert data.target == MultiLabel(names=("beach", "dog"))
    targets = np.concatenate([np.asarray(data.load(split).targets) for split in ("train", "val")])
    assert sorted(map(tuple, targets.tolist())) == [(0, 1)] * 4 + [(1, 0)] * 4 + [(1, 1)] * 2
    assert any("2 of 10 images are in several folders (2 further files)" in note for note in store.notes)


def test_the_fingerprint_changes_with_a_label_or_a_number(root: Path) -> None:
    first = opened(root, labels=str(write(root / "n.csv", ("file", "x", "y"), NUMBERS)))[0].fingerprint
    write(root / "n.csv", ("file", "x", "y"), [*NUMBERS[:-1], ("9.png", 4.5, -8.5)])
    assert opened(root)[0].fingerprint != first
    write(root / "n.csv", ("file", "x", "y"), [*NUMBERS[:-1], ("9.png", "4.50", "-9.0")])
    assert opened(root)[0].fingerprint == first


@pytest.mark.parametrize(
    ("header", "rows", "given", "words"),
    [
        (("file", "x"), [("0.png", 1.5), ("7x.png", 2)], {}, r"line 3: there is no file '7x\.png'"),
        (("file", "x"), [("0.png", 1.5), ("1.png", "big")], {}, "line 3: column 'x': 'big' is not a number"),
        (("file", "x"), [("0.png", 1.5), ("1.png", "2,5")], {}, r"'2,5' is not a number \(write 2\.5\)"),
        (("file", "x"), [("0.png", 1.5), ("1.png", "nan")], {}, "line 3: column 'x': 'nan' is not a finite number"),
        (("file", "x"), [("0.png", 1.5), ("1.png", "inf")], {}, "'inf' is not a finite number"),
        (("file", "x", "y"), [("0.png", 1.5, 2), ("1.png", "", 2)], {}, "line 3: column 'x': the cell is empty"),
        (("file", "x"), [("0.png", 1.5), ("1.png", "")], {}, r"'1\.png' of split 'train' has no label"),
        (("file", "x", "y"), [("0.png", 1.5, "cat")], {}, "line 2: column 'y': 'cat' is not a number"),
        (("file", "x"), [("0.png", 1.5)], {"columns": ["z"]}, "the table has no column 'z'"),
        (("file", "x [m]", "x [kg]"), [("0.png", 1.5, 2.5)], {}, "two columns have the name 'x'"),
        (("file", "a", "b"), [("0.png", 1, 0), ("1.png", "", 0)], {}, "column 'a' has an empty cell, not 0 or 1"),
        (("file", "a"), [("0.png", 2), ("1.png", 0)], {"target": "multi_label"}, None),
        (("file", "a", "b"), [("0.png", 2, 0)], {"target": "multi_label"}, "line 2: column 'a' has '2', not 0 or 1"),
        (("file", "labels"), [("0.png", ""), ("1.png", "")], {}, "no image has a label"),
        (
            ("file", "labels", "split"),
            [("0.png", "a", "train"), ("1.png", "b", "test")],
            {},
            r"'1\.png' of split 'test' has the label 'b', which no training image has",
        ),
        (("file", "x"), [("0.png", 1.5)], {}, "there is one image: too few"),
        (("file",), [("0.png",)], {"target": "values"}, "no column with targets"),
        (("file", "x", "x"), [("0.png", 1.5, 2)], {}, "two columns 'x'"),
    ],
)
def test_faults_of_a_table_are_one_line(
    root: Path, header: Sequence[str], rows: Rows, given: dict[str, object], words: str | None
) -> None:
    write(root / "t.csv", header, rows)
    if words is None:
        assert opened(root, **given)[0].target == MultiLabel(names=("0", "2"))
        return
    with pytest.raises(DataError, match=words) as fault:
        if target_kind(options_of(root, **given)) is not None:
            opened(root, **given)
    assert "\n" not in str(fault.value)


def test_other_faults(root: Path, tmp_path: Path) -> None:
    assert target_kind(options_of(tmp_path / "nowhere")) is None
    with pytest.raises(DataError, match="does not exist"):
        opened(tmp_path / "nowhere", target="values")
    with pytest.raises(DataError, match="numbers for each image stand in a CSV file"):
        opened(root, target="values")
    with pytest.raises(DataError, match="cannot be read"):
        opened(root, labels=str(tmp_path / "nowhere.csv"), target="values")
    write(root / "t.csv", ("file", "label"), TAGS)
    with pytest.raises(UsageError, match="a class stands in one column, not in 2"):
        opened(root, labels=str(root / "t.csv"), target="classes", columns=["a", "b"])


def test_a_table_beside_class_folders_is_ignored_as_before(root: Path, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        for index in range(2):
            Image.new("L", (8, 8), 20 * index).save(tmp_path / "classes" / name / f"{index}.png")
    write(tmp_path / "classes" / "n.csv", ("file", "x"), [("cat/0.png", 1.5)])
    assert target_kind(options_of(tmp_path / "classes")) == "classes"
    assert opened(tmp_path / "classes")[0].target == Classes(names=("cat", "dog"))


# ---------------------------------------------------------------------------------------------------- from end to end


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    got = run_cli(list(arguments))
    out = capsys.readouterr()
    assert got == code, f"{out.out}\n{out.err}"
    return out.err if code else out.out


SMALL = ("--epochs", "1", "--set", "dataset.resize=8")


@pytest.mark.parametrize(
    ("header", "rows", "task", "metric"),
    [(("file", "labels"), TAGS, "multi_label", "map"), (("file", "x [kg]", "y"), NUMBERS, "regression", "mae")],
)
def test_a_run_an_export_and_a_prediction_without_torch(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    header: Sequence[str],
    rows: Rows,
    task: str,
    metric: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(root / "t.csv", header, rows)
    mixing = ("--set", "train.mixup=0.2", "--set", "train.cutmix=1.0", "--set", "dataset.val_fraction=0.3")
    record = json.loads(said(capsys, "run", "fnn", "--data", f"folder:{root}", *SMALL, *mixing, "--json"))
    assert record["task"] == f"tasks/{task}" and metric in record["results"]["test"]
    folder = Path(record["path"])
    stored = json.loads((folder / "run.json").read_text("utf-8"))
    assert stored["target"]["kind"] == ("multi_label" if task == "multi_label" else "values")
    said(capsys, "export", str(folder), "--onnx", "--out", "bundle")
    decision = json.loads(Path("bundle/bundle.json").read_text("utf-8"))["description"]["output"]["decision"]
    assert decision == stored["decision"]
    image = str(root / "3.png")
    answers = [said(capsys, "predict", place, image).splitlines()[0] for place in (str(folder), "bundle")]
    assert answers[0] == answers[1]
    assert json.loads(said(capsys, "evaluate", str(folder), "--json"))["metrics"] == pytest.approx(
        record["results"]["test"], rel=1e-4
    )


def test_a_task_that_does_not_fit_the_folder_is_refused_before_it_is_opened(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root / "t.csv", ("file", "x"), [("0.png", 1.5), ("missing.png", 2)])
    refused = said(capsys, "run", "fnn", "--data", f"folder:{root}", "--task", "multi_label", code=2)
    assert "task multi_label needs targets of kind `multi_label`, but folder has `values`" in refused
