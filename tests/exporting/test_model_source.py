from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from zoo.errors import CheckpointError, UnknownNameError
from zoo.exporting.model_source import locate
from zoo.registry.lookup import registry
from zoo.runs.run_directory import RunDir

RUN = "zoo.runs.load_model.load_run"
MakeRun = Callable[..., RunDir]


@dataclass
class Chosen:
    """Stands for the model of a run."""

    run: str
    name: str = "the run's own"


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is chosen is looked at here, not what is in it."""
    monkeypatch.setattr(RUN, lambda run: Chosen(run.path.name))


def test_a_recipe_takes_its_newest_finished_run_with_the_same_data(make_run: MakeRun) -> None:
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


def test_an_architecture_takes_its_newest_finished_run_whatever_the_data(make_run: MakeRun) -> None:
    make_run("a1")
    make_run("d4", permute_pixels=1)
    assert locate(registry(), "cnn").loaded == Chosen("d4", "cnn")


@pytest.mark.parametrize("name", ["cnn_digits/c3", "c3"])
def test_a_run_that_is_named_is_taken_and_its_state_told(make_run: MakeRun, name: str) -> None:
    make_run("c3", status="interrupted")
    make_run("d4")
    found = locate(registry(), name)
    assert (found.loaded.run, found.sentence) == ("c3", "exporting run cnn_digits/c3, which is interrupted")


def test_a_run_is_taken_by_its_path(make_run: MakeRun) -> None:
    assert locate(registry(), str(make_run("a1").path)).loaded == Chosen("a1")


def test_nothing_to_export_names_the_command_to_run() -> None:
    with pytest.raises(CheckpointError, match=r"fix: train it first: zoo run cnn_digits$") as caught:
        locate(registry(), "cnn_digits")
    assert caught.value.exit_code == 4
    with pytest.raises(CheckpointError, match=r"zoo run cnn --data DATASET$"):
        locate(registry(), "cnn")


def test_an_unknown_name_proposes_recipes_and_runs(make_run: MakeRun) -> None:
    make_run("summer1")
    with pytest.raises(UnknownNameError, match="did you mean summer1"):
        locate(registry(), "sumer1")
    with pytest.raises(UnknownNameError, match="did you mean cnn_digits"):
        locate(registry(), "cnn_digit")


def test_a_label_that_is_no_name_takes_its_newest_finished_run(make_run: MakeRun) -> None:
    make_run("a1", label="summer")
    make_run("b2", label="summer", status="failed")
    assert locate(registry(), "summer").loaded.run == "a1"
    make_run("c3", label="winter", status="failed")
    with pytest.raises(CheckpointError, match=r"no run of 'winter' is finished .*; fix: zoo run --resume winter/c3"):
        locate(registry(), "winter")
    assert locate(registry(), "winter/c3").sentence == "exporting run winter/c3, which is failed"
