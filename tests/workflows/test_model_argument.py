"""Which model a command takes for the name of a recipe or the label of a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zoo.errors import CheckpointError, UsageError
from zoo.runs.published_weights import Published
from zoo.runs.run_directory import RunDir
from zoo.workflows.model_argument import find_model

MakeRun = Callable[..., RunDir]


def test_the_name_of_a_recipe_is_its_newest_finished_run(make_run: MakeRun) -> None:
    finished = make_run("a1")
    make_run("b2", status="failed")
    make_run("c3", status="interrupted")
    found = find_model("cnn_digits")
    assert isinstance(found, RunDir) and found.path == finished.path


@pytest.mark.parametrize("name", ["cnn_digits/b2", "b2"])
def test_a_run_that_is_named_itself_is_taken_whatever_its_state(make_run: MakeRun, name: str) -> None:
    make_run("a1")
    failed = make_run("b2", status="failed")
    for target in (name, failed.path):
        found = find_model(target)
        assert isinstance(found, RunDir) and found.path == failed.path


def test_a_recipe_whose_only_run_failed_has_its_published_weights_or_says_so(make_run: MakeRun) -> None:
    make_run("a1", recipe="cnn_mnist", status="failed")
    assert isinstance(find_model("cnn_mnist"), Published)
    make_run("b2", status="failed")
    with pytest.raises(CheckpointError, match=r"recipe 'cnn_digits' has no finished run, and no pretrained weights"):
        find_model("cnn_digits")
    make_run("c3", label="winter", status="failed")
    with pytest.raises(
        CheckpointError, match=r"no run of 'winter' is finished .*; fix: zoo run --resume winter/c3, or"
    ):
        find_model("winter")


def test_an_unknown_name_is_the_error_of_a_run(make_run: MakeRun) -> None:
    make_run("a1")
    with pytest.raises(UsageError, match="no run is called 'summer'"):
        find_model("summer")
