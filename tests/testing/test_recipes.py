"""The conformance kit on recipes: a run that would be refused at its start is named beforehand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zoo.testing import Fault

Odd = Callable[..., list[Fault]]

RECIPE = """
from zoo.api import Expected, RecipeSpec, hookimpl

@hookimpl
def zoo_register_recipes():
    parts = dict(architecture="classics/cnn", dataset="datasets/digits", task="tasks/classification")
    return [RecipeSpec(name="odd", summary="x", **{**parts, **dict({more})})]
"""
RESIZED = "'dataset': {'resize': 28}"


def recipe(more: str) -> str:
    return RECIPE.replace("{more}", more)


def train(options: str) -> str:
    return recipe(f"parameters={{{RESIZED}, 'train': {options}}}")


def expected(metric: str, more: str = "") -> str:
    figure = f"Expected(metric={metric!r}, mean=0.9, sd=0.1, seeds=3, seconds=1, device='cpu')"
    return recipe(f"expected={figure}, parameters={{{RESIZED}{more}}}")


@pytest.mark.parametrize(
    "source",
    [
        train("{'optimizer': 'sgd', 'momentum': 0.9, 'schedule': 'cosine', 'augment': ['flip', {'crop': 2}]}"),
        train("{'optimizer': 'lion', 'schedule': 'step', 'schedule_options': {'decay_epochs': 2}}"),
        expected("accuracy"),
        expected("top5_accuracy"),
        recipe(
            "task='svd/svd_image', architecture=None, dataset='datasets/photos', "
            "expected=Expected(metric='psnr_db', mean=30, sd=0, seeds=1, seconds=1, device='cpu')"
        ),
        recipe(
            "task='tasks/transfer', weights=None, parameters={'weights': 'digits_0_to_4', 'dataset': {'resize': 28}}, "
            "expected=Expected(mean=0.9, sd=0, seeds=1, seconds=1, device='cpu')"
        ),
    ],
)
def test_a_sound_recipe_has_no_faults(odd: Odd, source: str) -> None:
    assert odd(source) == []


@pytest.mark.parametrize(
    ("source", "check", "fault"),
    [
        (train("{'epoch': 3}"), "configuration", "train.epoch: unknown key; fix: did you mean epochs?"),
        (recipe("architecture='classics/cn'"), "configuration", "did you mean"),
        (recipe("parameters={'dataset': {'resize': 8}}"), "configuration", "does not support 8×8 images"),
        (train("{'augment': ['flp']}"), "configuration", "unknown augmentation 'flp'; did you mean flip?"),
        (train("{'augment': [{'crop': {'paddin': 2}}]}"), "configuration", "crop.paddin: unknown option"),
        (train("{'metrics': ['acuracy']}"), "configuration", "no metric is called 'acuracy'"),
        (recipe("parameters={'task': {'label_smooth': 0.1}}"), "configuration", "did you mean label_smoothing"),
        (recipe("weights='best'"), "weights", "its architecture has no weights named 'best'"),
        (train("{'optimizer': 'adamm'}"), "optimizer", "no optimizer is called 'adamm'; fix: did you mean adam"),
        (
            train("{'optimizer': 'adam', 'optimizer_options': {'nesterov': True}}"),
            "optimizer",
            "the optimizer does not accept its options",
        ),
        (train("{'momentum': 0.9}"), "optimizer", "the optimizer does not accept its options"),
        (train("{'schedule': 'cosin'}"), "schedule", "no schedule is called 'cosin'"),
        (train("{'schedule': 'step', 'schedule_options': {'decays': 3}}"), "schedule", "does not accept its options"),
        (train("{'schedule_options': {'decay_t': 3}}"), "schedule", "a constant schedule has no options"),
        (
            expected("acuracy"),
            "expected",
            "expected names the metric 'acuracy', but the metrics are accuracy, top5_accuracy, macro_f1",
        ),
        (
            recipe(
                "task='svd/svd_image', architecture=None, dataset='datasets/photos', "
                "expected=Expected(mean=30, sd=0, seeds=1, seconds=1, device='cpu')"
            ),
            "expected",
            "expected names the metric 'accuracy', but the metrics are psnr_db, ssim, energy",
        ),
    ],
)
def test_each_fault_is_named(odd: Odd, source: str, check: str, fault: str) -> None:
    found = odd(source)
    assert [line.check for line in found] == [f"recipe/odd/{check}"] and fault in found[0], found


METRIC = """
from zoo.api import MetricSpec, Options

class Choice(Options):
    k: int = 1

@hookimpl
def zoo_register_metrics():
    return [MetricSpec(name="third", summary="x", target="zoo_odd_parts:build", options="zoo_odd_parts:Choice")]
"""
THIRD = """
from zoo.api import Options

class Choice(Options):
    k: int = 1

class Third:
    def __init__(self):
        self.right = self.seen = 0

    def update(self, preds, target):
        self.right += int((preds.argmax(1) == target).sum())
        self.seen += len(target)

    def compute(self):
        return self.right / self.seen

def build(options, target):
    return Third()
"""


def test_a_metric_of_the_recipe_may_be_the_expected_one(odd: Odd) -> None:
    assert odd(expected("third", ", 'train': {'metrics': ['third']}") + METRIC, THIRD) == []


def test_an_option_that_a_metric_does_not_take_is_named(odd: Odd) -> None:
    found = odd(train("{'metrics': [{'third': {'top': 3}}]}") + METRIC, THIRD)
    assert [line.check for line in found] == ["recipe/odd/metrics"] and "train.metrics.third.top" in found[0], found


def test_without_build_the_plan_is_looked_at_alone(odd: Odd) -> None:
    assert odd(train("{'optimizer': 'adamm'}"), build=False) == []


def test_without_build_a_plan_that_fails_is_named(odd: Odd) -> None:
    found = odd(recipe("weights='best'"), build=False)
    assert [line.check for line in found] == ["recipe/odd/weights"]
