"""What is decided of a run before a file of data is opened, and that nothing is computed for it."""

from __future__ import annotations

from pathlib import Path

import pytest

import zoo
from zoo.data.data_loader import open_data
from zoo.errors import ConfigError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.initial_weights import NamedWeights
from zoo.runs.resolve_config import parse_assignment, resolve
from zoo.training.devices import set_up
from zoo.workflows.component_facts import Asked, examine
from zoo.workflows.matrix import cells


def test_a_plan_has_its_items_its_weights_its_classes_and_its_preprocessing() -> None:
    plan = resolve(registry(), "digits_transfer")
    assert [(item.kind, item.canonical) for item in plan.items] == [
        ("architecture", "classics/cnn"),
        ("dataset", "datasets/digits"),
        ("task", "tasks/transfer"),
        ("task", "tasks/classification"),
        ("adaptation", "tasks/transfer"),
    ]
    assert isinstance(plan.weights, NamedWeights) and plan.weights.text == plan.config.weights == "digits_0_to_4"
    assert plan.classes == ("5", "6", "7", "8", "9")
    assert plan.preprocessing.shape == (1, 28, 28) and plan.preprocessing.mean == plan.weights.spec.mean


@pytest.mark.parametrize(
    "recipe",
    [
        item.canonical
        for item in registry().items("recipe")
        if item.spec.architecture and registry().dataset(item.spec.dataset).spec.embedded
    ],
)
def test_the_preprocessing_of_a_plan_is_that_of_the_opened_data(recipe: str) -> None:
    plan = resolve(registry(), recipe, overrides={"device": "cpu"})
    data = open_data(registry(), plan.config.dataset, set_up(plan.config).device, prepare=plan.prepare_images)
    assert data.preprocessing == plan.preprocessing and data.classes == plan.classes
    assert set(plan.changes if plan.architecture else ()) <= set(data.notes)


def test_the_table_of_combinations_and_info_decide_the_same() -> None:
    plan = resolve(registry(), "digits_transfer")
    cell = next(cells(registry(), "classics/cnn", "datasets/digits", "tasks/transfer"))
    whole = resolve(
        registry(), overrides={"architecture": "cnn", "dataset": "digits", "task": "transfer", "weights": "mnist"}
    )
    assert cell.refusal is None and cell.changes == whole.changes
    found, classes = examine(registry(), registry().recipe("digits_transfer"), Asked())
    assert found.input == plan.preprocessing.shape and classes == len(plan.classes)


def test_all_problems_are_reported_at_once_whatever_finds_them() -> None:
    overrides = {
        "architecture": {"name": "cnn", "n_featurs": 3},
        "train": {"epochs": 0},
        "weights": "mnits",
        "task": {"name": "transfer"},
    }
    with pytest.raises(ConfigError) as caught:
        resolve(registry(), overrides=overrides)
    starts = (
        "no dataset is given; add --data NAME",
        "train.epochs: must be",
        "architecture.n_featurs: unknown key",
        "'mnits' is not a file, a run",
    )
    assert [any(problem.startswith(start) for problem in caught.value.problems) for start in starts] == [True] * 4
    with pytest.raises(ConfigError) as caught:
        resolve(registry(), "vgg16", overrides={"dataset": "photos", "train": {"epochs": 0}})
    assert [problem.partition(";")[0] for problem in caught.value.problems] == [
        "train.epochs: must be greater than or equal to 1, not 0",
        "task classification needs targets, but photos has none",
    ]


def test_a_dry_run_computes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from zoo_svd import compress_network

    monkeypatch.setattr(compress_network, "Compressor", lambda *_, **__: pytest.fail("the network is compressed"))
    found = zoo.run("digits_svd", dry_run=True, out=tmp_path / "run", console=Console(quiet=True))
    assert any(
        note.startswith("computed when the run starts: the form and the rank of each layer")
        for note in found.record.notes
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("train.optimizer_options={}", {}),
        ("train.optimizer_options={nesterov: true}", {"nesterov": True}),
        ("train.optimizer_options.nesterov=true", {"dampening": 0.0, "nesterov": True}),
    ],
)
def test_an_assigned_mapping_replaces_and_an_assigned_key_is_merged(
    tmp_path: Path, text: str, options: dict[str, object]
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "recipe: cnn_digits\ntrain: {optimizer: sgd, momentum: 0.9, optimizer_options: {dampening: 0.0}}\n",
        encoding="utf-8",
    )
    assert resolve(registry(), file=file, overrides=parse_assignment(text)).config.train.optimizer_options == options
    assert (
        resolve(
            registry(), "cnn_digits", overrides=parse_assignment("architecture={n_features: 4}")
        ).config.architecture.name
        == "classics/cnn"
    )
