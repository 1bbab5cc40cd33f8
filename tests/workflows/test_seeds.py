"""Several seeds of one recipe, and the record they leave."""

from __future__ import annotations

import json
import statistics

import pytest

from zoo.errors import UsageError
from zoo.reporting.console import Console
from zoo.runs.run_directory import RunDir
from zoo.workflows import seeds
from zoo.workflows.run_result import RunResult
from zoo.workflows.seeds import command, run_seeds, summarise


@pytest.fixture
def pretended(made_run, monkeypatch):
    """`runner.run` answers with runs that never were, better with every seed; returns what was asked of it."""
    asked = []

    def run(name, *, config_file, overrides, out, console, quality):
        asked.append({"name": name, "overrides": overrides, "out": out})
        seed = overrides["seed"]
        metrics = {"accuracy": 0.9 + seed / 100, "loss": 1.0 - seed / 10}
        made = made_run(f"seed{seed}", results={"test": metrics}, seconds=10.0 + seed**2, git_commit="c0ffee")
        return RunResult(made.path, made.record, metrics)

    monkeypatch.setattr(seeds.run, "run", run)
    return asked


def test_the_record_holds_all_a_figure_is_read_with(pretended, tmp_path, capsys) -> None:
    done = run_seeds(3, "cnn_digits", overrides={"train": {"epochs": "5"}, "seed": 1}, console=Console())
    assert [each["overrides"]["seed"] for each in pretended] == [1, 2, 3]
    told = json.loads(done.path.read_text(encoding="utf-8"))
    values = [0.91, 0.92, 0.93]
    assert told["metrics"]["accuracy"] == {
        "mean": statistics.fmean(values),
        "sd": pytest.approx(statistics.stdev(values)),
        "values": values,
    }
    assert told["seconds"] == {"median": 14.0, "values": [11.0, 14.0, 19.0]}
    assert told["command"] == "zoo run cnn_digits --seeds 3 --set train.epochs=5 --set seed=1"
    facts = ("recipe", "seeds", "epochs", "commit", "device", "dataset", "fingerprint", "runs")
    assert [told[name] for name in facts] == [
        "classics/cnn_digits", [1, 2, 3], 5, "c0ffee", "Test 9000, 2 threads", "lab/toy", "abcdef0123456789",
        ["seed1", "seed2", "seed3"]
    ]  # fmt: skip
    assert told["versions"]["torch"] == "2.15.0" and str(tmp_path) not in done.path.read_text(encoding="utf-8")
    assert "accuracy 92.00% ± 1.00% over 3 seeds" in capsys.readouterr().out.replace("accuracy:", "accuracy")


def test_each_seed_has_a_place_of_its_own(pretended, tmp_path) -> None:
    run_seeds(2, "cnn_digits", overrides={"name": "mine"}, out=tmp_path / "out", console=Console(quiet=True))
    assert [(each["overrides"]["name"], each["out"]) for each in pretended] == [
        ("mine-seed0", tmp_path / "out" / "seed0"),
        ("mine-seed1", tmp_path / "out" / "seed1"),
    ]


def test_a_directory_of_a_later_seed_that_exists_is_refused_before_the_first_run(pretended, tmp_path) -> None:
    (tmp_path / "seed1").mkdir()
    (tmp_path / "seed1" / "mine.txt").touch()
    with pytest.raises(UsageError, match=r"exists and is not empty \(.*seed1\)"):
        run_seeds(2, "cnn_digits", out=tmp_path, console=Console(quiet=True))
    assert pretended == []


def test_the_command_repeats_what_was_asked(tmp_path) -> None:
    overrides = {
        "train": {"augment": ["flip", {"crop": 4}], "clip_norm": 1.0},
        "dataset": {"name": "mnist", "permute_pixels": None},
    }
    told = command(2, None, tmp_path / "my file.yaml", overrides)
    assert told == (
        "zoo run --config 'my file.yaml' --seeds 2 --set 'train.augment=[\"flip\", {\"crop\": 4}]' --set "
        "train.clip_norm=1.0"
        " --set dataset.name=mnist --set dataset.permute_pixels=null"
    )
    assert command(2, "cnn_digits", None, {}) == "zoo run cnn_digits --seeds 2"


def test_one_seed_has_no_spread() -> None:
    assert summarise([{"accuracy": 0.5}]) == {"accuracy": {"mean": 0.5, "sd": 0.0, "values": [0.5]}}


def test_a_batch_size_is_chosen_once_for_all_seeds(pretended, tmp_path) -> None:
    done = run_seeds(3, "cnn_digits", overrides={"train": {"batch_size": "auto"}}, console=Console(quiet=True))
    size = RunDir(done.runs[0].path).config.train.batch_size
    assert [each["overrides"]["train"]["batch_size"] for each in pretended] == ["auto", size, size]
    assert f"train.batch_size={size}" in json.loads(done.path.read_text(encoding="utf-8"))["command"]


def test_no_seeds_are_refused() -> None:
    with pytest.raises(UsageError, match="must be at least 1"):
        run_seeds(0, "cnn_digits")
