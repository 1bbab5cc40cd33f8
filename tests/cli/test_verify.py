"""zoo verify, and what every command answers where something of a run was damaged, edited or brought from elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo.data import dataset_cache
from zoo.runs.run_directory import RunDir
from zoo.support.atomic_files import sha256
from zoo.support.checksummed_json import write_sealed


@pytest.fixture
def run(short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A copy of the trained run, beside an untouched one of the same recipe."""
    runs = tmp_path / "runs" / "cnn_digits"
    for name in ("hurt", "whole"):
        shutil.copytree(short, runs / name)
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path / "runs"))
    return RunDir(runs / "hurt")


def chosen(run: RunDir) -> Path:
    return run.checkpoints / str(run.root.chosen)


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def edit(file: str, change: Callable[[Any], object], *, seal: bool = False) -> Callable[[RunDir], None]:
    """Edits a JSON file of a run; with ``seal``, its own sha256 is made to fit."""

    def act(run: RunDir) -> None:
        path = chosen(run) / file if file in ("state.json", "MANIFEST.json") else run.path / file
        value = json.loads(path.read_text(encoding="utf-8"))
        change(value)
        if seal:
            value.pop("sha256")
            write_sealed(path, value)
        else:
            path.write_text(json.dumps(value), encoding="utf-8")

    return act


def replace_in_config(run: RunDir) -> None:
    text = run.config_file.read_text(encoding="utf-8")
    assert "lr: 0.01" in text
    run.config_file.write_text(text.replace("lr: 0.01", "lr: 0.5"), encoding="utf-8")


def edited_state_with_a_manifest_to_fit(run: RunDir) -> None:
    edit("state.json", lambda state: state["progress"].update(step=1))(run)
    edit(
        "MANIFEST.json", lambda manifest: manifest["files"].update({"state.json": sha256(chosen(run) / "state.json")})
    )(run)


def fifo(name: str) -> Callable[[RunDir], None]:
    def act(run: RunDir) -> None:
        path = chosen(run) / name if name == "model.safetensors" else run.path / name
        path.unlink()
        os.mkfifo(path)

    return act


def from_another_run(run: RunDir) -> None:
    """A checkpoint with the same name and content, whose manifest names another run."""
    edit("MANIFEST.json", lambda manifest: manifest.update(run="0" * 32))(run)


def renamed(run: RunDir) -> None:
    chosen(run).rename(run.checkpoints / "step-000001")


TAMPERED: dict[str, tuple[Callable[[RunDir], object], str]] = {
    "config, a value": (replace_in_config, "train.lr is 0.5 and was 0.01"),
    "config, no YAML": (
        lambda run: run.config_file.write_text("a: [", encoding="utf-8"),
        "config.yaml cannot be read: ",
    ),
    "config, bytes": (lambda run: run.config_file.write_bytes(b"\xff\xfe\x00"), "config.yaml cannot be read: "),
    "config, gone": (lambda run: run.config_file.unlink(), "config.yaml cannot be read: it is missing"),
    "config, a FIFO": (fifo("config.yaml"), "config.yaml cannot be read: it is a named pipe, not a regular file"),
    "record, classes": (
        edit("run.json", lambda record: record["target"]["names"].reverse(), seal=True),
        "does not match root.json in: target",
    ),
    "record, another kind of target": (
        edit("run.json", lambda record: record["target"].update(kind="multi_label"), seal=True),
        "does not match root.json in: target",
    ),
    "record, statistics": (
        edit("run.json", lambda record: record.update(statistics={"mean": [3.0]}), seal=True),
        "root.json in: statistics",
    ),
    "record, mean": (
        edit("run.json", lambda record: record["preprocessing"].update(mean=[0.25]), seal=True),
        "root.json in: preprocessing",
    ),
    "record, adaptations": (
        edit("run.json", lambda record: record.update(adaptations=[{"rank": 3}]), seal=True),
        "root.json in: adaptations",
    ),
    "record, solution": (
        edit("run.json", lambda record: record.update(solution={"rank": 3}), seal=True),
        "root.json in: solution",
    ),
    "record, data": (
        edit("run.json", lambda record: record.update(fingerprint="f00d"), seal=True),
        "root.json in: fingerprint",
    ),
    "record, results": (
        edit("run.json", lambda record: record["results"]["test"].update(accuracy=1.0)),
        "run.json was changed after zoo wrote it",
    ),
    "record, checkpoint": (
        edit("run.json", lambda record: record.update(checkpoint="step-000015"), seal=True),
        "are from checkpoint step-000015",
    ),
    "record, a type": (
        edit("run.json", lambda record: record.update(results=3)),
        "run.json is damaged: results: must be a valid dictionary, not 3",
    ),
    "record, deep": (
        lambda run: run.record_file.write_text("[" * 100_000, encoding="utf-8"),
        "run.json cannot be read: it is nested too deeply",
    ),
    "record, a FIFO": (fifo("run.json"), "run.json cannot be read: it is a named pipe, not a regular file"),
    "root, best": (
        edit("root.json", lambda root: root["checkpoints"].pop()),
        "root.json was changed after zoo wrote it",
    ),
    "root, a path": (
        edit("root.json", lambda root: root["checkpoints"][-1].update(name="../../x"), seal=True),
        "root.json is of another version",
    ),
    "root, newer": (
        edit("root.json", lambda root: root.update(format=2), seal=True),
        "root.json is of another version of zoo: format",
    ),
    "root, gone": (
        lambda run: run.root_file.unlink(),
        "no root.json: the run is from an older zoo, or the file was removed",
    ),
    "root, a FIFO": (fifo("root.json"), "root.json cannot be read: it is a named pipe, not a regular file"),
    "state": (
        edit("state.json", lambda state: state["progress"].update(step=1)),
        "state.json changed after zoo wrote it",
    ),
    "state, manifest": (edited_state_with_a_manifest_to_fit, "its MANIFEST.json does not match root.json"),
    "manifest, bytes": (
        lambda run: (chosen(run) / "MANIFEST.json").write_bytes(b"\xff"),
        "its MANIFEST.json does not match root.json",
    ),
    "checkpoint, foreign": (from_another_run, "it comes from another run"),
    "checkpoint, renamed": (renamed, "it is missing"),
    "checkpoint, a FIFO": (fifo("model.safetensors"), "model.safetensors: it is a named pipe, not a regular file"),
    "weights": (
        lambda run: flip_a_bit(chosen(run) / "model.safetensors"),
        "model.safetensors changed after zoo wrote it",
    ),
}


@pytest.mark.parametrize(("tamper", "words"), TAMPERED.values(), ids=TAMPERED)
def test_what_differs_is_named_and_refused_with_exit_4(zoo, run, tamper, words) -> None:
    tamper(run)
    told = zoo("evaluate", "cnn_digits/hurt")
    assert (
        (told.code, told.out) == (4, "") and words in told.err and "; fix: " in told.err and told.err.count("\n") == 1
    )
    told = zoo("verify", "cnn_digits/hurt")
    assert told.code == 4 and told.err == "" and words in told.out
    assert zoo("verify", "cnn_digits/whole").code == 0


@pytest.mark.parametrize("name", ["config, no YAML", "record, deep", "record, a FIFO", "root, gone", "config, a value"])
def test_one_damaged_run_spoils_neither_the_list_nor_compare_nor_look_up(zoo, run, tmp_path, monkeypatch, name) -> None:
    tamper, words = TAMPERED[name]
    shutil.copytree(run.path, run.path.with_name("third"))
    tamper(run)
    monkeypatch.chdir(tmp_path)
    told = zoo("runs")
    rows = {line.split()[0]: line for line in told.out.splitlines()}
    assert (
        told.code == 0
        and "finished" in rows["cnn_digits/whole"]
        and rows["cnn_digits/hurt"].startswith("cnn_digits/hurt  damaged: ")
    )
    assert words in rows["cnn_digits/hurt"]
    listed = {row["id"]: row for row in json.loads(zoo("runs", "--json").out)}
    assert listed["cnn_digits/hurt"]["status"] == "damaged" and words in listed["cnn_digits/hurt"]["fault"]
    told = zoo("compare", "whole", "hurt", "third")
    assert told.code == 0 and "note: cnn_digits/hurt is left out: damaged: " in told.err and words in told.err
    assert told.out.splitlines()[0].split() == ["whole", "third"]
    told = zoo("compare", "whole", "hurt")
    assert told.code == 4 and words in told.err and told.err.count("\n") == 1
    assert zoo("export", "cnn", "--onnx", "--out", str(tmp_path / "bundle")).code == 0


def test_a_moved_or_copied_run_and_a_comment_in_its_configuration_are_no_damage(zoo, run, tmp_path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(run.path, moved)
    text = (moved / "config.yaml").read_text(encoding="utf-8")
    (moved / "config.yaml").write_text("# my best one so far\n" + text, encoding="utf-8")
    told = zoo("verify", str(moved))
    assert told.code == 0 and f"{moved}: nothing is damaged; evaluate, predict and export use step-" in told.out
    assert zoo("evaluate", str(moved)).code == 0


def test_verify_says_which_checkpoint_is_left(zoo, run) -> None:
    best = run.root.chosen
    flip_a_bit(chosen(run) / "model.safetensors")
    found = json.loads(zoo("verify", "hurt", "--json").out)
    (damaged,) = (each for each in found["findings"] if each["state"] == "damaged")
    first = run.root.checkpoints[0].name
    assert (
        best != first
        and damaged["part"].startswith(best)
        and (found["damaged"], found["use"], found["resume"]) == (True, None, first)
    )
    assert f"`zoo run --resume cnn_digits/hurt` has gone back to {first}" in found["advice"]
    assert zoo("run", "--resume", "cnn_digits/hurt").code == 0
    found = json.loads(zoo("verify", "hurt", "--json").out)
    assert (found["damaged"], found["use"]) == (False, best)
    assert RunDir(run.path).record.results == RunDir(run.path.with_name("whole")).record.results


def test_verify_writes_nothing_and_names_a_run_that_is_not_there(zoo, run) -> None:
    before = {file: file.stat().st_mtime_ns for file in run.path.rglob("*")}
    assert zoo("verify", "hurt").code == 0
    assert {file: file.stat().st_mtime_ns for file in run.path.rglob("*")} == before
    assert zoo("verify", "hrut").code == 2


def test_verify_reads_the_cached_arrays_of_the_run_s_dataset(zoo, run) -> None:
    for key, dataset in (("mine", "datasets/digits"), ("other", "lab/toy")):
        array = dataset_cache.open_or_build(key, (2, 1, 4, 4), {"dataset": dataset}, lambda array: array.fill(7))
        del array
        file = dataset_cache.folder() / key / dataset_cache.IMAGES
        content = file.read_bytes()
        file.write_bytes(content[:-1] + b"\0")
    told = zoo("verify", "hurt")
    (line,) = (line for line in told.out.splitlines() if line.startswith("cache"))
    assert told.code == 4 and line.split()[:3] == ["cache", "mine", "damaged"]
    assert "was changed after it was written" in line and "rebuilt at its next use" in line
    assert "evaluate, predict and export use step-" in told.out
