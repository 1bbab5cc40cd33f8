"""evaluate, compare and report: what came of runs, on the embedded digits."""

from __future__ import annotations

import json
import shutil

import pytest

from zoo.runs.root_json import config_text, new_root
from zoo.runs.run_directory import RunDir


@pytest.fixture
def two(short, tmp_path, monkeypatch):
    """The trained run beside a copy of it that says it had another learning rate, other data, and was stopped."""
    runs = tmp_path / "runs"
    shutil.copytree(short, runs / "cnn_digits" / "short")
    shutil.copytree(short, runs / "cnn_digits" / "other")
    other = RunDir(runs / "cnn_digits" / "other")
    record, config = other.record, other.config
    config.train.lr = 0.5
    other.config_file.write_text(config_text(config), encoding="utf-8")
    other.write_root(new_root(config).with_changes(run=other.root.run, checkpoints=other.root.checkpoints))
    other.bind(record.model_copy(update={"status": "interrupted", "fingerprint": "f00d", "results": {}}))
    monkeypatch.setenv("ZOO_RUNS", str(runs))
    monkeypatch.chdir(tmp_path)
    return runs


def test_compare_shows_results_differences_remarks_and_where_the_image_is(zoo, two, tmp_path) -> None:
    told = zoo("compare", "short", "other", "--out", "drawn")
    lines = [line.split() for line in told.out.splitlines()]
    accuracy = RunDir(two / "cnn_digits" / "short").record.results["test"]["accuracy"]
    assert told.code == 0 and lines[0] == ["short", "other"]
    assert ["accuracy", f"{accuracy:.2%}", "–"] in lines and ["parameters", "1,922", "1,922"] in lines
    assert ["train.lr", "0.01", "0.5"] in lines and ["status", "finished", "interrupted"] in lines
    assert "note: other is interrupted: its metrics are not final" in told.err
    assert "note: these runs saw different data, so their figures do not compare: short on datasets/digits" in told.err
    assert told.out.endswith("curves: drawn/compare.png\n") and (tmp_path / "drawn" / "compare.png").is_file()


def test_compare_as_json(zoo, two) -> None:
    told = zoo("compare", "short", "other", "--json")
    found = json.loads(told.out)
    assert (
        found["differences"] == {"train.lr": [0.01, 0.5]}
        and found["names"] == ["short", "other"]
        and len(found["remarks"]) == 2
    )
    assert found["facts"]["status"] == ["finished", "interrupted"] and told.err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "short"], "comparing takes two runs or more; fix: name another one"),
        (["compare", "short", "cnn_digits/short"], "short and cnn_digits/short are the same run"),
        (["compare", "short", "shrot"], "no run is called 'shrot'"),
        (["report", "shrot"], "no run is called 'shrot'"),
        (
            ["evaluate", "short", "--data", "digit"],
            "no dataset is called 'digit'; fix: did you mean digits or digit_sets or digits_rotated?",
        ),
        (
            ["evaluate", "short", "--device", "cuda:99"],
            "device 'cuda:99' is not available; fix: choose one of: auto, cpu",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(zoo, two, arguments, words) -> None:
    told = zoo(*arguments)
    assert told.code == 2 and words in told.err and told.err.count("\n") == 1 and told.out == ""


def test_a_finished_run_has_its_page_and_report_rewrites_it(zoo, two, tmp_path) -> None:
    page = two / "cnn_digits" / "short" / "report.html"
    whole = page.read_text(encoding="utf-8")
    for title in (
        "Training",
        "Confusion matrix",
        "Classes",
        "Calibration",
        "Predictions",
        "Mistakes",
        "Training images",
    ):
        assert f"<h2><bdi>{title}</bdi></h2>" in whole
    assert whole.count("data:image/png;base64,") >= 6
    page.unlink()
    told = zoo("report", "short")
    assert told == (0, f"report: {page}\n", "") and page.is_file()
    other = tmp_path / "elsewhere.html"
    assert json.loads(zoo("report", "short", "--out", str(other), "--json").out) == {"run": "short", "page": str(other)}


def test_evaluate_writes_what_it_found_where_asked(zoo, two, tmp_path) -> None:
    told = zoo("evaluate", "short", "--split", "train", "--device", "cpu", "--out", "found")
    assert told.code == 0 and told.out.endswith("predictions, tables and images: found\n")
    assert "datasets/digits, train split, 1,437 samples: accuracy " in told.out
    assert len((tmp_path / "found" / "predictions.csv").read_text(encoding="utf-8").splitlines()) == 1438
    assert (tmp_path / "found" / "plots" / "mistakes.png").is_file()


def test_evaluate_on_a_dataset_of_the_same_classes(zoo, two) -> None:
    found = json.loads(zoo("evaluate", "short", "--data", "datasets/digits", "--json").out)
    assert found["dataset"] == "datasets/digits" and found["samples"] == 360 and found["path"] is None
    assert found["metrics"]["accuracy"] == pytest.approx(
        RunDir(two / "cnn_digits" / "short").record.results["test"]["accuracy"]
    )
