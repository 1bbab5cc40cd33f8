"""From a name, a file and overrides to a configuration: layers, canonical names, options, and every problem at once."""

from __future__ import annotations

from typing import Any

import pytest

from zoo.config.run_config import RunConfig
from zoo.errors import ConfigError, UsageError
from zoo.registry.lookup import Registry
from zoo.runs.resolve_config import merge, parse_assignment, resolve
from zoo.support.yaml_files import parse_yaml, write_yaml

# --------------------------------------------------------------------------------------------------------------- layers


def test_a_recipe_fills_in_its_parameters_under_canonical_names(lab: Registry) -> None:
    config = resolve(lab, "net_shapes").config
    assert config.recipe == "lab/net_shapes"
    assert config.architecture is not None
    assert (config.architecture.name, config.dataset.name, config.task.name) == ("lab/net", "lab/shapes", "lab/sort")
    # what it does not say is filled in, to be read in config.yaml
    assert config.architecture.options == {
        "width": 16,
        "kernels": [3, 3],
    }
    assert config.dataset.options == {"sides": 6}
    assert config.dataset.resize == 20
    assert config.task.options == {"smoothing": 0.1, "ranks": []}
    assert (config.train.epochs, config.train.lr, config.train.batch_size) == (
        5,
        0.01,
        RunConfig.model_fields["train"].default.batch_size,
    )


def test_each_layer_goes_over_the_one_before(lab: Registry, write: Any) -> None:
    file = write("train: {epochs: 7, batch_size: 3}\narchitecture: {width: 32}\n")
    config = resolve(lab, "net_shapes", file=file, overrides={"train": {"batch_size": 4}}).config
    assert (config.train.epochs, config.train.batch_size, config.train.lr) == (7, 4, 0.01)
    assert config.architecture is not None
    assert config.architecture.options["width"] == 32


def test_an_architecture_runs_with_the_default_task(lab: Registry) -> None:
    config = resolve(lab, "net", overrides={"dataset": "toy"}).config
    assert (config.recipe, config.dataset.name, config.task.name) == (None, "lab/toy", "lab/sort")


def test_options_of_the_default_task_need_no_name(lab: Registry) -> None:
    config = resolve(lab, "net", overrides={"dataset": "toy", "task": {}}).config
    assert config.task.name == "lab/sort"


def test_another_item_drops_the_options_of_the_one_before(lab: Registry) -> None:
    config = resolve(
        lab, "net_shapes", overrides={"architecture": {"name": "plain"}, "dataset": {"name": "toy"}, "task": "count"}
    ).config
    assert config.architecture is not None
    assert (config.architecture.options, config.dataset.options, config.task.options) == ({}, {}, {})
    assert config.dataset.resize == 20  # the core's, which every dataset has


@pytest.mark.parametrize("name", ["net", "lab/net"])
def test_the_same_item_under_either_name_keeps_its_options(lab: Registry, name: str) -> None:
    config = resolve(lab, "net_shapes", overrides={"architecture": {"name": name}}).config
    assert config.architecture is not None
    assert config.architecture.options["width"] == 16


def test_resolving_changes_nothing_it_was_given(lab: Registry) -> None:
    recipe = lab.recipe("net_shapes").spec
    before, overrides = recipe.model_copy(deep=True), {"train": {"epochs": 9}, "dataset": "toy"}
    resolve(lab, "net_shapes", overrides=overrides)
    assert recipe == before
    assert overrides == {"train": {"epochs": 9}, "dataset": "toy"}


def test_the_resolved_config_can_be_run_again(lab: Registry, write: Any) -> None:
    config = resolve(
        lab,
        "net_shapes",
        overrides={"train": {"lr": 1e-5, "optimizer_options": {"nesterov": True}}, "seed": 3, "name": "no"},
    ).config
    text = write_yaml(config.as_dict())
    assert RunConfig.model_validate(parse_yaml(text, where="here")) == config
    again = resolve(lab, file=write(text)).config
    assert again == config
    assert write_yaml(again.as_dict()) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.lr=1e-3", {"train": {"lr": 0.001}}),
        ("seed=3", {"seed": 3}),
        ("task.ranks=[60,120]", {"task": {"ranks": [60, 120]}}),
        ("dataset=toy", {"dataset": "toy"}),
        ("train.optimizer_options.nesterov=true", {"train": {"optimizer_options": {"nesterov": True}}}),
        ("name=a=b", {"name": "a=b"}),
        ("weights=", {"weights": None}),
    ],
)
def test_an_assignment_is_a_layer(text: str, expected: dict[str, Any]) -> None:
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["train.lr", "=3", "train..lr=1", ".=1", ""])
def test_an_assignment_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"KEY\.PATH=VALUE"):
        parse_assignment(text)


def test_an_assignment_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--set train\.lr"):
        parse_assignment("train.lr=[1")


def test_mappings_are_merged_by_key_and_all_else_is_replaced() -> None:
    above = {"a": {"y": 2}, "b": [3], "c": {"z": 1}}
    assert merge({"a": {"x": 1, "y": 1}, "b": [1, 2], "c": 5}, above) == {
        "a": {"x": 1, "y": 2},
        "b": [3],
        "c": {"z": 1},
    }
    assert merge({}, above)["a"] is not above["a"]
