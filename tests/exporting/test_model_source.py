from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from zoo.errors import CheckpointError, UnknownNameError
from zoo.exporting.model_source import locate
from zoo.registry.lookup import registry
from zoo.runs import run_directory
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import Record, RunDir

RUN = "zoo.runs.load_model.load_run"


@dataclass
class Chosen:
    """Stands for the model of a run."""

    run: str
    name: str = "the run's own"


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is chosen is looked at here, not what is in it."""
    monkeypatch.setattr(RUN, lambda run: Chosen(run.path.name))


def make_run(
    name: str, recipe: str = "cnn_digits", status: run_directory.Status = "finished", **dataset: object
) -> RunDir:
    config = resolve(registry(), recipe, overrides={"name": name, "dataset": dataset}).config
    run = run_directory.create(config)
    assert config.architecture is not None
    preprocessing = {"channels": 1, "height": 28, "width": 28, "mean": (0.0,), "std": (1.0,)}
    run.bind(
        Record.model_validate(
            {
                "id": name,
                "status": status,
                "created": f"2026-01-0{name[-1]}",
                "label": run_directory.label_of(config),
                "architecture": config.architecture.name,
                "dataset": config.dataset.name,
                "task": config.task.name,
                "target": {"kind": "classes", "names": ["0"]},
                "preprocessing": preprocessing,
                "fingerprint": "",
            }
        )
    )
    return run


def test_a_recipe_takes_its_newest_finished_run_with_the_same_data(tmp_path: Path) -> None:
    make_run("a1")
    make_run("b2")
    make_run("c3", status="failed")
    make_run("d4", permute_pixels=1)
    found = locate(registry(), "cnn_digits")
    assert found.loaded == Chosen("b2", "cnn_digits")
    assert found.sentence == (
        "exporting run cnn_digits/b2, the newest finished run of cnn_digits with these options of network, dataset "
        "and task (for the newer one with others: zoo export cnn_digits/d4)"
    )


def test_an_architecture_takes_its_newest_finished_run_whatever_the_data() -> None:
    make_run("a1")
    make_run("d4", permute_pixels=1)
    assert locate(registry(), "cnn").loaded == Chosen("d4", "cnn")


@pytest.mark.parametrize("name", ["cnn_digits/c3", "c3"])
def test_a_run_that_is_named_is_taken_and_its_state_told(name: str) -> None:
    make_run("c3", status="interrupted")
    make_run("d4")
    found = locate(registry(), name)
    assert (found.loaded.run, found.sentence) == ("c3", "exporting run cnn_digits/c3, which is interrupted")


def test_a_run_is_taken_by_its_path(tmp_path: Path) -> None:
    assert locate(registry(), str(make_run("a1").path)).loaded == Chosen("a1")


def test_nothing_to_export_names_the_command_to_run() -> None:
    with pytest.raises(CheckpointError, match=r"fix: train it first: zoo run cnn_digits$") as caught:
        locate(registry(), "cnn_digits")
    assert caught.value.exit_code == 4
    with pytest.raises(CheckpointError, match=r"zoo run cnn --data DATASET$"):
        locate(registry(), "cnn")


def test_an_unknown_name_proposes_recipes_and_runs() -> None:
    make_run("summer1")
    with pytest.raises(UnknownNameError, match="did you mean summer1"):
        locate(registry(), "sumer1")
    with pytest.raises(UnknownNameError, match="did you mean cnn_digits"):
        locate(registry(), "cnn_digit")
