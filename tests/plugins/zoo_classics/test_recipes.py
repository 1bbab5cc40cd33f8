"""The recipes: what they resolve to, that they run, and that they reach what they say."""

from __future__ import annotations

import csv

import pytest

import zoo
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve

RECIPES = [item.canonical for item in registry().items("recipe", namespace="classics")]
OFFLINE = [name for name in RECIPES if registry().dataset(registry().recipe(name).spec.dataset).spec.embedded]
FAST, RETRIEVAL = "classics/mnist_fast", "classics/mnist_retrieval"
MNIST = [
    name
    for name in RECIPES
    if registry().recipe(name).spec.dataset == "datasets/mnist" and name not in (FAST, RETRIEVAL)
]
CIFAR = [name for name in RECIPES if registry().recipe(name).spec.dataset == "datasets/cifar10"]
ONCE = {"classics/vgg_cifar10"}
"""An hour and more on two cores: recorded once, so that there is no spread to evaluate another run by."""
UNMEASURED = {"classics/unet_mnist_on_photos"}
"""Their figures are in benchmarks/results, but no run of theirs is recorded for the table of results."""
MEASURED = [name for name in RECIPES if name not in ONCE | UNMEASURED]
ERRORS = {"mae"}
"""Metrics that are smaller when the model is better, in the unit of the data."""
LONG = 20
"""Seconds beyond which a recipe is run by `make test-slow` alone."""


def measured(*, offline: bool) -> list[object]:
    marked = []
    for name in (each for each in MEASURED if (each in OFFLINE) == offline):
        expected = registry().recipe(name).spec.expected
        marked.append(
            pytest.param(name, marks=[pytest.mark.slow] if expected is not None and expected.seconds > LONG else [])
        )
    return marked


@pytest.mark.parametrize("name", MNIST)
def test_the_mnist_recipes_are_the_references(name) -> None:
    train = resolve(registry(), name).config.train
    assert (train.optimizer, train.lr, train.momentum, train.batch_size, train.epochs, train.eval_batch_size) == (
        "sgd",
        0.01,
        0.5,
        64,
        1,
        1000,
    )


@pytest.mark.slow
@pytest.mark.realdata
def test_one_epoch_of_mnist_fast_is_right_on_99_of_100_validation_images(tmp_path) -> None:
    """Ten seconds on two idle cores. Half a point is left for the 10,000 images that it is not trained on here."""
    overrides = {"device": "cpu", "dataset": {"val_fraction": 1 / 6}}
    result = zoo.run(FAST, overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    assert result.record.samples["train"] == 50_000
    with (tmp_path / "run" / "metrics.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert float(row["val_accuracy"]) > 0.985


@pytest.mark.parametrize("name", ["lenet_cifar10", "vgg_cifar10"])
def test_the_cifar_recipes_are_the_references(name) -> None:
    config = resolve(registry(), name).config
    assert (config.train.optimizer, config.train.lr, config.train.epochs) == ("adam", 1e-3, 10)
    if name == "lenet_cifar10":
        assert (config.train.batch_size, config.dataset.mean, config.dataset.std, config.train.augment) == (
            64,
            [0.5] * 3,
            [0.5] * 3,
            [],
        )
    else:
        assert (config.train.batch_size, config.dataset.mean, [next(iter(step)) for step in config.train.augment]) == (
            128,
            None,
            ["flip", "crop"],
        )


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in UNMEASURED])
def test_every_recipe_states_what_to_expect(name) -> None:
    expected = registry().recipe(name).spec.expected
    assert expected is not None
    quick = expected.seconds < LONG and name not in CIFAR
    assert expected.seeds >= (1 if name in ONCE else 10 if quick else 3)
    if expected.metric in ERRORS:
        assert expected.mean > 0
    else:
        assert 0.5 < expected.mean < 1


@pytest.mark.parametrize("name", measured(offline=True))
def test_an_embedded_recipe_reaches_its_figure(name, tmp_path) -> None:
    expected = registry().recipe(name).spec.expected
    result = zoo.run(name, overrides={"device": "cpu"}, out=tmp_path / "run", console=Console(quiet=True))
    assert abs(result.metrics[expected.metric] - expected.mean) < 4 * expected.sd


@pytest.mark.realdata
@pytest.mark.parametrize("name", measured(offline=False))
def test_a_recipe_on_real_data_reaches_its_figure(name, tmp_path) -> None:
    """One seed, within four standard deviations of the mean its spec states."""
    expected = registry().recipe(name).spec.expected
    result = zoo.run(name, overrides={"device": "cpu", "seed": 100}, out=tmp_path / "run", console=Console(quiet=True))
    assert abs(result.metrics[expected.metric] - expected.mean) < 4 * expected.sd


def test_permuting_costs_the_convolutional_network_more(tmp_path) -> None:
    plain, permuted = (registry().recipe(name).spec.expected.mean for name in ("cnn_mnist", "cnn_mnist_permuted"))
    assert plain - permuted > 0.09
    plain, permuted = (registry().recipe(name).spec.expected.mean for name in ("fnn_mnist", "fnn_mnist_permuted"))
    assert abs(plain - permuted) < 0.03
