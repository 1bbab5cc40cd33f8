"""The recipes: what they resolve to, that they run, and that they reach what they say."""

from __future__ import annotations

import pytest

import zoo
from zoo.console import Console
from zoo.registry import registry
from zoo.resolve import resolve

RECIPES = [item.canonical for item in registry().items("recipe", namespace="classics")]
OFFLINE = [name for name in RECIPES if registry().dataset(registry().recipe(name).spec.dataset).spec.embedded]
MNIST = [name for name in RECIPES if name not in OFFLINE]


@pytest.mark.parametrize("name", MNIST)
def test_the_mnist_recipes_are_the_references(name):
    train = resolve(registry(), name).train
    assert (train.optimizer, train.lr, train.momentum, train.batch_size, train.epochs, train.eval_batch_size) == ("sgd", 0.01, 0.5, 64, 1, 1000)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_states_what_to_expect(name):
    expected = registry().recipe(name).spec.expected
    assert expected is not None
    assert expected.seeds >= 10
    assert 0.5 < expected.mean < 1


@pytest.mark.parametrize("name", OFFLINE)
def test_an_embedded_recipe_reaches_its_figure(name, tmp_path):
    expected = registry().recipe(name).spec.expected
    result = zoo.run(name, overrides={"device": "cpu"}, out=tmp_path / "run", console=Console(quiet=True))
    assert result.metrics[expected.metric] >= max(0.95, expected.mean - 4 * expected.sd)


@pytest.mark.realdata
@pytest.mark.parametrize("name", MNIST)
def test_a_recipe_on_real_data_reaches_its_figure(name, tmp_path):
    """One seed, within four standard deviations of the mean its spec states."""
    expected = registry().recipe(name).spec.expected
    result = zoo.run(name, overrides={"device": "cpu", "seed": 100}, out=tmp_path / "run", console=Console(quiet=True))
    assert abs(result.metrics[expected.metric] - expected.mean) < 4 * expected.sd


def test_permuting_costs_the_convolutional_network_more(tmp_path):
    plain, permuted = (registry().recipe(name).spec.expected.mean for name in ("cnn_mnist", "cnn_mnist_permuted"))
    assert plain - permuted > 0.09
    plain, permuted = (registry().recipe(name).spec.expected.mean for name in ("fnn_mnist", "fnn_mnist_permuted"))
    assert abs(plain - permuted) < 0.03
