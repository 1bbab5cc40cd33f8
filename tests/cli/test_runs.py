"""runs, evaluate, predict, export: what is done with a run, on the embedded digits."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from zoo.cli.export import verdict
from zoo.runs.run_directory import RunDir


def accuracy_of(run) -> float:
    return RunDir(run).record.results["test"]["accuracy"]


def test_runs_lists_the_run_with_its_result(zoo, short) -> None:
    told = zoo("runs")
    line = next(line for line in told.out.splitlines() if line.startswith("cnn_digits/short"))
    assert "finished" in line and "datasets/digits" in line and f"accuracy {accuracy_of(short):.2%}" in line
    (row,) = json.loads(zoo("runs", "--json").out)
    assert row["results"]["test"]["accuracy"] == accuracy_of(short) and row["seconds"] > 0


def test_runs_are_newest_first_and_a_damaged_or_killed_one_is_listed_as_such(zoo, short, tmp_path, monkeypatch) -> None:
    runs = tmp_path / "several"
    monkeypatch.setenv("ZOO_RUNS", str(runs))
    states = {
        "old": ("2025", "finished"),
        "new": ("2026", "interrupted"),
        "killed": ("2024", "running"),
        "hurt": ("2023", None),
    }
    for name, (created, status) in states.items():
        folder = runs / "cnn_digits" / name
        shutil.copytree(short, folder)
        run = RunDir(folder)
        run.bind(run.record.model_copy(update={"created": created, "status": status or "finished"}))
        if status is None:
            run.record_file.write_text("{", encoding="utf-8")
    rows = json.loads(zoo("runs", "--json").out)
    listed = [(row["id"].rpartition("/")[2], row["status"]) for row in rows]
    assert listed == [("new", "interrupted"), ("old", "finished"), ("killed", "killed"), ("hurt", "damaged")]
    assert zoo("runs").out.splitlines()[1].startswith("cnn_digits/new")
    with RunDir(runs / "cnn_digits" / "killed").lock():
        assert json.loads(zoo("runs", "--json").out)[2]["status"] == "running"


def test_no_runs_is_said_with_what_to_do(zoo, tmp_path) -> None:
    told = zoo("runs")
    assert told == (
        0,
        "",
        f"no runs under {tmp_path / 'runs'}; start one with `zoo run NAME` (see `zoo list recipes`)\n",
    )
    assert json.loads(zoo("runs", "--json").out) == []


def test_evaluate_repeats_the_figure_of_the_run(zoo, short) -> None:
    told = zoo("evaluate", "cnn_digits/short")
    assert told.code == 0 and told.out.startswith(
        f"datasets/digits, test split, 360 samples: accuracy {accuracy_of(short):.2%}"
    )
    facts = json.loads(zoo("evaluate", "short", "--json").out)
    assert facts["metrics"]["accuracy"] == pytest.approx(accuracy_of(short)) and facts["samples"] == 360
    assert json.loads(zoo("evaluate", "short", "--split", "train", "--json").out)["samples"] == 1437


def test_evaluate_answers_a_wrong_part_or_run(zoo, short) -> None:
    told = zoo("evaluate", "short", "--split", "val")
    assert (told.code, told.err) == (2, "error: datasets/digits has no val split; fix: it has: train, test\n")
    assert zoo("evaluate", "shrot").err.startswith("error: no run is called 'shrot'")


def test_predict_shows_the_likeliest_classes_and_writes_all_of_them(zoo, short, tmp_path) -> None:
    table = tmp_path / "all.csv"
    told = zoo("predict", "short", str(short / "samples"), "--top", "2", "--csv", str(table))
    assert told.code == 0
    lines = told.out.splitlines()
    images = sorted(str(path) for path in (short / "samples").iterdir())
    assert [line.partition(": ")[0] for line in lines] == images and all(line.count("%") == 2 for line in lines)
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [row["file"] for row in rows] == images
    first = rows[0]
    assert sum(float(first[f"p({digit})"]) for digit in range(10)) == pytest.approx(1, abs=1e-4)
    assert lines[0].partition(": ")[2].split()[0] == first["prediction"]
    assert told.err.startswith("predicted by ")


@pytest.mark.parametrize(("top", "code"), [("0", 2), ("x", 2), ("99", 0)])
def test_top_is_a_whole_number(zoo, short, top, code) -> None:
    image = sorted((short / "samples").iterdir())[0]
    told = zoo("predict", "short", str(image), "--top", top)
    assert told.code == code and (
        code == 0 or told.err.startswith("error: --top: must be a whole number of at least 1")
    )


def test_predict_answers_an_image_that_is_not_there(zoo, short, tmp_path) -> None:
    told = zoo("predict", "short", str(tmp_path / "no.png"))
    assert told.code == 3 and "no.png" in told.err and told.err.count("\n") == 1


def test_export_says_what_it_took_what_it_proved_and_where_it_lies(zoo, short, tmp_path) -> None:
    out = tmp_path / "bundle"
    told = zoo("export", "cnn_digits/short", "--onnx", "--out", str(out))
    assert told.code == 0, told.err
    assert told.out.startswith("exporting run cnn_digits/short") and told.out.endswith(f"bundle: {out}\n")
    assert (
        "verified against PyTorch on cpu, batch sizes 1, 2 and 7" in told.out
        and "360 of 360 predictions equal on datasets/digits" in told.out
    )
    shutil.copy(
        short / "samples" / sorted(path.name for path in (short / "samples").iterdir())[0], tmp_path / "digit.png"
    )
    by_run = zoo("predict", "short", str(tmp_path / "digit.png"))
    by_file = zoo("predict", str(out / "model.onnx"), str(tmp_path / "digit.png"))
    by_bundle = zoo("predict", str(out), str(tmp_path / "digit.png"))
    assert by_run.out == by_file.out == by_bundle.out and "onnxruntime" in by_bundle.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "onxn"], "no exporter is called 'onxn'; fix: did you mean onnx?"),
        (["--onnx", "--format", "tflite"], "--onnx and --format tflite do not go together"),
        (["--onnx", "--set", "export.opset=new"], "export.opset: must be a valid integer, not 'new'"),
        (["--onnx", "--set", "export.opset=99"], "export.opset: must be less than or equal to 25, not 99"),
        (["--onnx", "--set", "export.opste=18"], "export.opste: unknown key; fix: did you mean opset?"),
        (["--set", "opset=18"], "fix: write --set export.NAME=VALUE"),
        (["--onnx", "--opset", "18"], "No such option: --opset; fix: did you mean --set"),
        (["--onnx", "--provider", "tpu"], "exporter onnx has no provider 'tpu' (--provider); fix: choose one of: cpu"),
        (["--onnx", "--batch", "0"], "--batch: must be dynamic, or a whole number of at least 1, not '0'"),
    ],
)
def test_export_options_that_make_no_sense_are_one_line(zoo, arguments, words) -> None:
    told = zoo("export", "cnn_digits", *arguments)
    assert told.code == 2 and words in told.err and told.err.count("\n") == 1


def test_export_with_nothing_to_export_names_the_command_to_run(zoo) -> None:
    told = zoo("export", "cnn_digits", "--onnx")
    assert told.code == 4 and "fix: train it first: zoo run cnn_digits" in told.err


def test_the_verdict_has_the_largest_difference_of_both_comparisons() -> None:
    real = {
        "max_abs_error": 2e-6,
        "decisions": 10,
        "decisions_agree": 9,
        "samples": 10,
        "dataset": "d",
        "accuracy": {"pytorch": 0.9, "exported": 0.8},
    }
    lines = verdict({"provider": "cpu", "batches": [1, 2], "random": {"max_abs_error": 3e-5}, "real": real})
    assert lines == [
        (
            "verified against PyTorch on cpu, batch sizes 1 and 2: largest output difference 3.0e-05, "
            "9 of 10 predictions equal on d"
        ),
        "accuracy 80.00% (PyTorch 90.00%)",
    ]


def test_predict_takes_the_first_images_of_a_dataset_in_place_of_files(zoo, short, tmp_path) -> None:
    told = zoo("predict", "short", "--data", "digits", "--count", "4", "--plot", str(tmp_path / "grid.png"))
    assert told.code == 0 and len(told.out.splitlines()) == 4 and (tmp_path / "grid.png").is_file()
    names = [line.partition(": ")[0] for line in told.out.splitlines()]
    with (short / "predictions.csv").open(newline="") as stream:
        assert names == [
            f"digits/test/{row['sample']}" for row, _ in zip(csv.DictReader(stream), range(4), strict=False)
        ]


def test_predictions_of_a_dataset_name_its_samples_and_have_their_truths(
    zoo: Callable[..., Any], short: Path, tmp_path: Path
) -> None:
    table = tmp_path / "p.csv"
    told = zoo("predict", "short", "--data", "digits", "--count", "5", "--csv", str(table), "--json")
    with (short / "predictions.csv").open(newline="") as stream:
        due = [row for row, _ in zip(csv.DictReader(stream), range(5), strict=False)]
    with table.open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [row["sample"].removeprefix("digits/test/") for row in found] == [row["sample"] for row in due]
    assert [(row["truth"], row["prediction"]) for row in found] == [(row["truth"], row["prediction"]) for row in due]
    rows = json.loads(told.out)["predictions"]
    assert [(row["sample"], row["truth"], row["file"]) for row in rows] == [
        (row["sample"], row["truth"], None) for row in found
    ]


def test_predictions_of_a_dataset_in_files_name_the_files(zoo: Callable[..., Any], short: Path, tmp_path: Path) -> None:
    for name in ("3", "7"):
        (tmp_path / "own" / "test" / name).mkdir(parents=True)
        Image.new("L", (8, 8), int(name)).save(tmp_path / "own" / "test" / name / "x.png")
    told = zoo("predict", "short", "--data", f"folder:{tmp_path / 'own'}", "--json")
    assert [(row["sample"], row["truth"]) for row in json.loads(told.out)["predictions"]] == [
        (str(tmp_path / "own" / "test" / name / "x.png"), name) for name in ("3", "7")
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either images or --data D"),
        (["x.png", "--data", "digits"], "give either images or --data D"),
        (["--data", "digits", "--split", "val"], "datasets/digits has no val split"),
        (["--data", "digits", "--count", "0"], "--count: must be a whole number of at least 1"),
        (["--data", "digts"], "did you mean digits"),
    ],
)
def test_predict_is_told_what_to_predict(zoo, short, arguments, words) -> None:
    told = zoo("predict", "short", *arguments)
    assert told.code == 2 and words in told.err and told.err.count("\n") == 1


def test_predict_draws_what_speaks_for_each_prediction(zoo, short, tmp_path) -> None:
    from PIL import Image

    told = zoo("predict", "short", "--data", "digits", "--count", "2", "--explain", str(tmp_path / "why.png"))
    assert told.code == 0 and told.err.endswith(f"saved: {tmp_path / 'why.png'}\n")
    drawn = Image.open(tmp_path / "why.png").convert("RGB")
    assert drawn.width > drawn.height and len(drawn.getcolors(1 << 24)) > 300  # grey digits alone have no such colours


def test_an_exported_model_cannot_explain_itself(zoo, short, tmp_path) -> None:
    assert zoo("export", "short", "--onnx", "--out", str(tmp_path / "bundle")).code == 0
    told = zoo("predict", str(tmp_path / "bundle"), "--data", "digits", "--explain", str(tmp_path / "why.png"))
    assert told.code == 2 and "Grad-CAM needs gradients" in told.err
