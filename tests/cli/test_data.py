"""zoo data: where files are, what is missing, what a check finds; for people and for scripts."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def test_the_data_folder_is_told_alone_so_that_a_script_can_use_it(zoo, tmp_path) -> None:
    assert zoo("data", "path") == (0, f"{tmp_path / 'data'}\n", "")
    assert json.loads(zoo("data", "path", "--json").out) == {"path": str(tmp_path / "data")}


def test_data_by_itself_shows_its_commands(zoo) -> None:
    told = zoo("data")
    assert told.code == 0 and all(f"\n  {name} " in told.out for name in ("download", "path", "check"))


def test_each_file_has_its_place_and_whether_it_is_there(zoo, tmp_path) -> None:
    name = "MNIST/raw/t10k-labels-idx1-ubyte.gz"
    (tmp_path / "data" / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "data" / name).write_bytes(b"x")
    told = zoo("data", "path", "mnist")
    rows = {line.split()[-1]: line.split()[0] for line in told.out.splitlines()[1:]}
    assert rows[str(tmp_path / "data" / name)] == "yes" and sorted(rows.values()) == ["no", "no", "no", "yes"]
    assert told.err == "3 of 4 files missing; `zoo data download mnist` downloads them\n"
    facts = json.loads(zoo("data", "path", "mnist", "--json").out)
    assert (facts["dataset"], facts["here"]) == ("datasets/mnist", False) and len(facts["files"]) == 4
    assert zoo("data", "path", "digits") == (
        0,
        "",
        "digits: included with an installed package, there is nothing to download\n",
    )


def test_download_without_a_network_is_one_error_for_all(zoo) -> None:
    told = zoo("data", "download", "mnist", "digits")
    assert (
        told.code == 3
        and told.out == ""
        and told.err.startswith("error: 4 files of mnist cannot be downloaded: ZOO_OFFLINE forbids downloads")
    )
    assert zoo("data", "download", "digits") == (
        0,
        "digits: included with an installed package, there is nothing to download\n",
        "",
    )
    assert json.loads(zoo("data", "download", "digits", "--json").out) == [
        {"dataset": "datasets/digits", "argument": None, "here": True, "files": [], "instead": []}
    ]


def test_check_prints_a_table_and_has_the_same_as_json(zoo) -> None:
    told = zoo("data", "check", "digits")
    assert (
        told.code == 0
        and "  train  train            1,437   1×8×8" in told.out.splitlines()
        and "no duplicate images" in told.out
    )
    (report,) = json.loads(zoo("data", "check", "digits", "--json").out)
    assert [part["samples"] for part in report["parts"]] == [1437, 360] and report["ok"]
    assert sum(report["parts"][0]["classes"].values()) == 1437


def test_splits_are_called_splits_and_by_their_names_in_the_dataset(zoo) -> None:
    assert "  split  name in dataset  images  C×H×W\n  train  train " in zoo("data", "check", "digits").out
    for command in ("show", "evaluate"):
        assert "--split SPLIT" in zoo(command, "--help").out


def test_check_without_a_name_takes_what_is_here(zoo) -> None:
    told = zoo("data", "check", "--json")
    assert told.code == 0 and "datasets/digits" in [report["dataset"] for report in json.loads(told.out)]
    assert "datasets/mnist: not here; `zoo data download mnist` downloads it" in told.err


def test_a_folder_of_one_s_own_is_found_and_checked(zoo, tmp_path) -> None:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for index in range(10):
            Image.fromarray(generator.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(
                tmp_path / "pets" / name / f"{index}.png"
            )
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("x")
    dataset = f"folder:{tmp_path / 'pets'}"
    assert zoo("data", "path", dataset) == (0, f"{tmp_path / 'pets'}\n", "")
    assert "your own, there is nothing to download" in zoo("data", "download", dataset).out
    told = zoo("data", "check", dataset)
    assert told.code == 0 and "note: 1 " in told.out and "no duplicate images" in told.out
    (report,) = json.loads(zoo("data", "check", dataset, "--json").out)
    assert {part["part"]: part["classes"] for part in report["parts"]} == {
        "train": {"cat": 8, "dog": 8},
        "test": {"cat": 2, "dog": 2},
    }
    assert report["parts"][0]["shapes"] == {"3×6×5": 16}
    assert zoo("data", "check", "folder:/no/such/place").code == 3


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["check", "mnist"], 3, "error: mnist: files are missing"),
        (["check", "mnst"], 2, "error: no dataset is called 'mnst'; fix: did you mean mnist"),
        (["download"], 2, "error: Missing argument 'DATASET...'"),
        (["chek"], 2, "error: No such command 'chek'"),
    ],
)
def test_wrong_commands_are_one_line(zoo, arguments, code, words) -> None:
    told = zoo("data", *arguments)
    assert told.code == code and told.err.startswith(words) and told.err.count("\n") == 1 and "; fix: " in told.err


def test_a_damaged_dataset_ends_with_the_code_for_data(zoo, tmp_path) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        (raw / f"{name}.gz").write_bytes(b"nothing of the kind")
    told = zoo("data", "check", "mnist")
    assert told.code == 3 and "problem: cannot be read" in told.out and told.out.count("other content") == 4


def test_a_bare_path_is_told_what_to_be_written_behind(zoo, tmp_path) -> None:
    told = zoo("data", "check", str(tmp_path))
    assert told.code == 2
    advice = f"a path goes behind the name of a dataset that takes one: folder:{tmp_path} or images:{tmp_path}"
    assert told.err == f"error: no dataset is called '{tmp_path}'; fix: {advice}\n"


def test_an_archive_in_place_of_the_official_files_is_named_by_path_check_and_info(
    zoo: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "data" / "cat_dog.zip", "w") as archive:
        for place in ("train/Cat/1.png", "train/Dog/2.png", "val/Cat/3.png", "val/Dog/4.png"):
            content = io.BytesIO()
            Image.new("L", (4, 4), int(Path(place).stem)).save(content, "PNG")
            archive.writestr(place, content.getvalue())
    told = zoo("data", "path", "catdog")
    assert any(line.startswith("yes") and line.endswith("cat_dog.zip") for line in told.out.splitlines())
    assert "here, in another form than the official files: cat_dog.zip" in told.err
    (facts,) = json.loads(zoo("info", "catdog", "--json").out)
    assert facts["here"] and facts["instead"] == [str(tmp_path / "data" / "cat_dog.zip")]
    shown = zoo("info", "catdog").out
    assert "files      here, in another form than the official files: cat_dog.zip\n" in shown
    assert "  in another form  https://" in shown and "absent" not in shown
    checked = zoo("data", "check", "catdog")
    assert (
        checked.code == 0
        and f"read from {tmp_path / 'data' / 'cat_dog.zip'} instead of the official files" in checked.out
    )
