"""`zoo run`: its flags, its faults, what it hands on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zoo.api import Classes
from zoo.cli.options import keys_of, overrides_of
from zoo.cli.run import RunOptions
from zoo.config.run_config import DatasetSection, RunConfig, TrainConfig
from zoo.errors import UsageError
from zoo.runs.run_directory import Record
from zoo.workflows.run_result import RunResult
from zoo.workflows.seeds import SeedsResult

RECORD = Record(
    id="cnn_digits/x",
    status="finished",
    created="2026",
    label="cnn_digits",
    architecture="classics/cnn",
    dataset="datasets/digits",
    task="tasks/classification",
    target=Classes(names=("0", "1")),
    preprocessing={"channels": 1, "height": 8, "width": 8, "mean": (0.5,), "std": (0.5,)},
    fingerprint="f",
    results={"test": {"accuracy": 0.5}},
)
RESULT = RunResult(Path("runs/cnn_digits/x"), RECORD, {"accuracy": 0.5})


@pytest.fixture
def started(monkeypatch):
    """What `zoo run` hands to the runner, instead of training."""
    calls: list[dict] = []

    def run(name, **options):
        calls.append({"name": name, **options})
        print("epoch 1/1")
        return RESULT

    def run_seeds(count, name, **options):
        calls.append({"count": count, "name": name, **options})
        return SeedsResult(Path("seeds.json"), [RESULT], {"accuracy": {"mean": 0.5, "sd": 0.0}})

    monkeypatch.setattr("zoo.workflows.run.run", run)
    monkeypatch.setattr("zoo.workflows.seeds.run_seeds", run_seeds)
    return calls


def test_every_flag_reaches_its_place_in_the_configuration(zoo, started) -> None:
    flags = [
        "--data",
        "d",
        "--arch",
        "a",
        "--task",
        "t",
        "--epochs",
        "3",
        "--batch-size",
        "16",
        "--lr",
        "1e-2",
        "--seed",
        "5",
        "--device",
        "cpu",
    ]
    told = zoo(
        "run",
        "cnn_digits",
        *flags,
        "--name",
        "mine",
        "--set",
        "train.clip_norm=1e-1",
        "--set",
        "dataset.val_fraction=0.1",
        "--out",
        "here",
    )
    assert told.code == 0
    (call,) = started
    assert (
        call["name"] == "cnn_digits"
        and str(call["out"]) == "here"
        and (call["resume"], call["inexact"], call["dry_run"]) == (None, False, False)
    )
    assert call["overrides"] == {
        "dataset": {"name": "d", "val_fraction": 0.1},
        "architecture": {"name": "a"},
        "task": {"name": "t"},
        "train": {"epochs": "3", "batch_size": "16", "lr": "1e-2", "clip_norm": 0.1},
        "seed": "5",
        "device": "cpu",
        "name": "mine",
    }
    config = RunConfig.model_validate(call["overrides"])
    assert (config.train.epochs, config.train.batch_size, config.train.lr, config.seed) == (3, 16, 0.01, 5)


def test_every_flag_names_a_key_that_there_is() -> None:
    for _, _, path in keys_of(RunOptions):
        head, _, tail = path.partition(".")
        sections = {"dataset": DatasetSection, "train": TrainConfig}
        assert head in RunConfig.model_fields and (not tail or tail == "name" or tail in sections[head].model_fields)


def test_seeds_and_resume_and_dry_run_are_handed_on(zoo, started) -> None:
    assert zoo("run", "cnn_digits", "--seeds", "3").code == 0
    assert zoo("run", "--resume", "short", "--inexact").code == 0
    assert zoo("run", "--config", "my.yaml", "--dry-run").code == 0
    first, second, third = started
    assert (first["count"], first["name"]) == (3, "cnn_digits")
    assert (second["name"], second["resume"], second["inexact"]) == (None, "short", True)
    assert (str(third["config_file"]), third["dry_run"]) == ("my.yaml", True)


def test_with_json_progress_goes_to_stderr_and_the_result_alone_to_stdout(zoo, started) -> None:
    told = zoo("run", "cnn_digits", "--json")
    row = json.loads(told.out)
    assert told.err == "epoch 1/1\n" and (row["id"], row["status"], row["path"]) == (
        "cnn_digits/x",
        "finished",
        str(RESULT.path.absolute()),
    )
    assert row["results"] == {"test": {"accuracy": 0.5}}
    assert zoo("run", "cnn_digits").out == "epoch 1/1\n"
    several = json.loads(zoo("run", "cnn_digits", "--seeds", "1", "--json").out)
    assert several["metrics"] == {"accuracy": {"mean": 0.5, "sd": 0.0}} and several["runs"] == [row]


def test_a_dry_run_is_json_too_and_has_the_keys_of_a_run(zoo, short) -> None:
    told = zoo("run", "cnn_digits", "--dry-run", "--json")
    row = json.loads(told.out)
    assert (row["status"], row["path"]) == ("dry-run", None) and "nothing was trained" in told.err
    assert list(row) == list(json.loads(zoo("runs", "--json").out)[0])


def test_predict_and_export_have_their_results_as_json(zoo, short, tmp_path) -> None:
    told = zoo("predict", "short", str(short / "samples"), "--top", "2", "--json")
    facts = json.loads(told.out)
    assert (
        told.err == ""
        and facts["classes"] == [str(digit) for digit in range(10)]
        and facts["engine"].startswith("torch ")
    )
    first = facts["predictions"][0]["top"]
    assert len(first) == 2 and first[0]["probability"] >= first[1]["probability"] > 0
    assert (
        zoo("predict", "short", facts["predictions"][0]["file"], "--top", "1")
        .out.split(": ")[1]
        .startswith(first[0]["class"])
    )
    out = tmp_path / "bundle"
    facts = json.loads(zoo("export", "short", "--onnx", "--out", str(out), "--json").out)
    assert facts["path"] == str(out) and facts["source"].startswith("exporting run cnn_digits/short")
    assert facts["verification"] == json.loads((out / "verify.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("flags", "assignments", "key"),
    [
        ({"lr": "0.1"}, ["train.lr=0.2"], "train.lr"),
        ({"data": "mnist"}, ["dataset=digits"], "dataset.name"),
        ({"data": "mnist"}, ["dataset.name=digits"], "dataset.name"),
        ({"epochs": "1"}, ["train=5"], "train"),
        ({}, ["seed=1", "seed=2"], "seed"),
        (
            {},
            ["train.optimizer_options={fused: true}", "train.optimizer_options.fused=false"],
            "train.optimizer_options",
        ),
        (
            {},
            ["train.optimizer_options.nesterov=true", "train.optimizer_options={fused: true}"],
            "train.optimizer_options",
        ),
    ],
)
def test_a_key_that_is_given_twice_is_named(flags, assignments, key) -> None:
    with pytest.raises(UsageError, match=rf"both give {key}\b.*fix: keep one"):
        overrides_of(RunOptions(**flags), assignments)


def test_keys_that_differ_do_not_conflict() -> None:
    layer = overrides_of(
        RunOptions(data="mnist", epochs="2"),
        ["dataset.resize=28", "train.lr=1e-3", "architecture=cnn", "architecture.n_features=4"],
    )
    assert layer["architecture"] == {"name": "cnn", "n_features": 4} and layer["train"] == {"epochs": "2", "lr": 0.001}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no recipe or architecture is named"),
        (["cnn_digits", "--seed", "1", "--seeds", "2"], "--seed and --seeds"),
        (["cnn_digits", "--seeds", "two"], "--seeds: must be a whole number"),
        (["cnn_digits", "--seeds", "0"], "--seeds: must be a whole number"),
        (["--resume", "short", "--out", "x"], "--resume and --out"),
        (["--resume", "short", "--seeds", "2"], "--seeds and --resume"),
        (["cnn_digits", "--inexact"], "--inexact without --resume"),
        (["cnn_digits", "--set", "lr"], "--set expects KEY.PATH=VALUE"),
    ],
)
def test_options_that_make_no_sense_are_one_line(zoo, started, arguments, words) -> None:
    told = zoo("run", *arguments)
    assert told.code == 2 and words in told.err and told.err.count("\n") == 1
    assert started == []


FAULTS = {
    "case-1-recipe": (["cnn_digit"], "no recipe is called 'cnn_digit'; fix: did you mean cnn_digits"),
    "case-1-architecture": (["cnn_digits", "--arch", "cnm"], "no architecture is called 'cnm'; fix: did you mean cnn"),
    "case-1-dataset": (["cnn_digits", "--data", "digit"], "no dataset is called 'digit'; fix: did you mean digits"),
    "case-1-task": (
        ["cnn_digits", "--task", "classify"],
        "no task is called 'classify'; fix: did you mean classification",
    ),
    "case-2-zero": (["cnn_digits", "--epochs", "0"], "train.epochs: must be greater than or equal to 1, not '0'"),
    "case-2-negative": (["cnn_digits", "--epochs", "-1"], "train.epochs: must be greater than or equal to 1, not '-1'"),
    "case-2-text": (["cnn_digits", "--epochs", "many"], "train.epochs: must be a valid integer"),
    "case-3-nan": (["cnn_digits", "--lr", "nan"], "train.lr: must be a finite number, not 'nan'"),
    "case-3-inf": (["cnn_digits", "--lr", "inf"], "train.lr: must be a finite number, not 'inf'"),
    "case-3-zero": (["cnn_digits", "--lr", "0"], "train.lr: must be greater than 0, not '0'"),
    "case-3-negative": (["cnn_digits", "--lr", "-0.1"], "train.lr: must be greater than 0, not '-0.1'"),
    "case-5": (
        ["cnn_digits", "--device", "cuda:99"],
        "device 'cuda:99' is not available; fix: choose one of: auto, cpu",
    ),
    "unknown-key": (["cnn_digits", "--set", "train.lrr=1"], "train.lrr: unknown key; fix: did you mean lr?"),
    "case-8-up": (["cnn_digits", "--name", "../x"], "name: '../x' is not a valid run name"),
    "case-8-newline": (["cnn_digits", "--name", "a\nb"], "name: 'a\\nb' is not a valid run name"),
    "case-9": (
        ["cnn_digits", "--set", "dataset.resize=never"],
        "the images are 8×8, but cnn needs 16×16 (dataset.resize=never)",
    ),
}


@pytest.mark.parametrize(("arguments", "line"), FAULTS.values(), ids=FAULTS)
def test_faults_of_the_command_line(zoo, tmp_path, arguments, line) -> None:
    told = zoo("run", *arguments)
    assert told.code == 2, told.err
    assert line in told.err and told.err.startswith("error: ") and told.err.count("\n") == 1
    assert not (tmp_path / "runs").exists(), "nothing may be left behind"


@pytest.mark.parametrize("case", ["case-4"])
def test_a_batch_that_leaves_no_step_is_refused(zoo, case) -> None:
    told = zoo("run", "cnn_digits", "--batch-size", "5000", "--set", "train.drop_last=true")
    assert told.code == 2 and told.err.count("\n") == 1
    assert (
        told.err.startswith("error: the batch size 5000 exceeds the 1437 training samples")
        and "; fix: use a smaller --batch-size" in told.err
    )


@pytest.mark.parametrize("inside", [False, True], ids=["case-7-file", "case-7-inside-a-file"])
def test_an_output_path_that_is_a_file_is_refused_and_kept(zoo, tmp_path, inside) -> None:
    file = tmp_path / "precious"
    file.write_text("keep me", encoding="utf-8")
    told = zoo("run", "cnn_digits", "--out", str(file / "run" if inside else file))
    assert told.code == 2 and str(file) in told.err and "; fix: choose another --out" in told.err
    assert file.read_text(encoding="utf-8") == "keep me"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lr", "0.5"], "train.lr is 0.01 in the run, not 0.5"),
        (["--seed", "3", "--epochs", "9"], "train.epochs is 2 in the run, not 9; seed is 0 in the run, not 3"),
        (["--config", "other.yaml"], "--config"),
    ],
    ids=["case-6-lr", "case-6-two", "case-6-config"],
)
def test_resume_names_the_flags_that_conflict_with_the_run(zoo, short, arguments, words) -> None:
    told = zoo("run", "--resume", "short", *arguments)
    assert told.code == 2 and words in told.err and "fix: remove" in told.err and told.err.count("\n") == 1


def test_a_dry_run_leaves_nothing(zoo, tmp_path) -> None:
    told = zoo("run", "cnn_digits", "--dry-run", "--epochs", "2")
    assert told.code == 0 and "dry run: 2 epochs, 90 steps, batch size 32" in told.out
    assert not (tmp_path / "runs").exists()


def test_a_task_goes_by_its_name_and_from_is_another_word_for_weights(zoo, started) -> None:
    assert zoo("run", "svd_compress", "--from", "short", "--set", "task.budget=0.5").code == 0
    (call,) = started
    assert (call["name"], call["overrides"]) == ("svd_compress", {"weights": "short", "task": {"budget": 0.5}})
