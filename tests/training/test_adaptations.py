"""Several adaptations as one: made in their order, asked together, and held to what they said when a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from zoo.api import (
    JSON,
    Adaptation,
    AdaptationSpec,
    AdaptContext,
    EvaluationResult,
    Options,
    ReportItem,
    Teacher,
)
from zoo.errors import CheckpointError, PluginError
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Item
from zoo.training.adaptations import Adaptations

PLUGIN = Plugin("stranger", "zoo-stranger", "1.0", "stranger")


class Appends(Adaptation[Options]):
    """Appends a layer of its own name, and says what it did as ``facts``."""

    def __init__(
        self,
        name: str,
        *,
        facts: Any = None,
        shares: Mapping[str, float] | None = None,
        trains: bool = True,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__(Options())
        self.name, self.facts, self._shares, self._trains, self._teacher = name, facts, shares, trains, teacher
        self.calls: list[str] = []

    @property
    def trains(self) -> bool:
        return self._trains

    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, dict[str, Any]]:
        made = {"layer": self.name, "after": [name for name, _ in model.named_children()]}
        model.add_module(self.name, nn.BatchNorm2d(2))
        return model, made if self.facts is None else self.facts

    def rebuild(self, model: nn.Module, adaptation: JSON) -> nn.Module:
        model.add_module(self.name, nn.BatchNorm2d(2))
        return model

    def teacher(self) -> Teacher | None:
        return self._teacher

    def lr_multipliers(self, model: nn.Module) -> Mapping[str, float]:
        return self._shares or {}

    def configure_train_mode(self, model: nn.Module) -> None:
        self.calls.append("configure_train_mode")
        model.get_submodule(self.name).eval()

    def on_epoch_start(self, model: nn.Module, epoch: int) -> None:
        self.calls.append(f"on_epoch_start {epoch}")

    def report(self, result: Any, part: Any, evaluate: Any, directory: Path) -> list[ReportItem]:
        return [ReportItem(self.name, f"{self.name}.png")]


class Plain(Adaptation[Options]):
    """Implements no more than it must."""

    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, dict[str, Any]]:
        return model, {}

    def rebuild(self, model: nn.Module, adaptation: JSON) -> nn.Module:
        return model


def of(*each: Adaptation[Any]) -> Adaptations:
    names = [getattr(adaptation, "name", "plain") for adaptation in each]
    specs = [AdaptationSpec(name=name, summary="made by a test", target="stranger:Appends") for name in names]
    return Adaptations([Item("adaptation", spec, PLUGIN) for spec in specs], each)


CONTEXT: Any = None
FACTS = [{"layer": "one", "after": []}, {"layer": "two", "after": ["one"]}]


def test_each_is_made_to_what_the_one_before_it_left() -> None:
    model, made = of(Appends("one"), Appends("two")).adapt(nn.Sequential(), CONTEXT)
    assert [name for name, _ in model.named_children()] == ["one", "two"]
    assert made == FACTS


def test_resuming_makes_the_same_network_in_the_same_order() -> None:
    model, made = of(Appends("one"), Appends("two")).resume(nn.Sequential(), CONTEXT, FACTS)
    assert [name for name, _ in model.named_children()] == ["one", "two"]
    assert made == FACTS


def test_one_that_would_change_the_network_otherwise_than_then_is_named() -> None:
    before = [FACTS[0], {"layer": "two", "after": ["another"]}]
    with pytest.raises(CheckpointError, match="adaptation two makes a different change") as caught:
        of(Appends("one"), Appends("two")).resume(nn.Sequential(), CONTEXT, before)
    assert "\n" not in str(caught.value)


def test_one_that_measures_is_given_what_it_said_when_the_run_began() -> None:
    class Measures(Appends):
        def resume(self, model: nn.Module, context: AdaptContext, adaptation: JSON) -> tuple[nn.Module, dict[str, Any]]:
            return model, dict(adaptation)

    before = [FACTS[0], {"milliseconds": 1.25}]
    both = of(Appends("one"), Measures("two", facts={"milliseconds": 2.5}))
    assert both.adapt(nn.Sequential(), CONTEXT)[1] == [FACTS[0], {"milliseconds": 2.5}]
    assert both.resume(nn.Sequential(), CONTEXT, before)[1] == before


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"ranks": np.int64(3)}, "not JSON: Object of type int64"),
        ({"layers": {"a", "b"}}, "not JSON: Object of type set"),
        ([1, 2], "of type list, expected dict"),
        ("half", "of type str, expected dict"),
    ],
)
def test_what_cannot_be_kept_as_an_object_of_json_is_blamed_on_its_plugin(facts: Any, words: str) -> None:
    with pytest.raises(PluginError, match=f"adaptation 'stranger/one' returns a description .*{words}") as caught:
        of(Appends("one", facts=facts)).adapt(nn.Sequential(), CONTEXT)
    assert "zoo-stranger" in str(caught.value) and "\n" not in str(caught.value)


def test_what_was_done_is_compared_as_it_is_read_back() -> None:
    """A tuple is a list in run.json, and a key a text."""
    _, made = of(Appends("one", facts={"ranks": (1, 2), 3: "x"})).adapt(nn.Sequential(), CONTEXT)
    assert made == [{"ranks": [1, 2], "3": "x"}]
    assert of(Appends("one", facts={"ranks": (1, 2), 3: "x"})).resume(nn.Sequential(), CONTEXT, made)[1] == made


def test_shares_of_the_learning_rate_multiply_where_two_name_a_parameter() -> None:
    one, two = Appends("one", shares={"a": 0.5, "b": 0.1}), Appends("two", shares={"a": 0.5, "c": 2.0})
    assert of(one, two).lr_multipliers(nn.Sequential()) == {"a": 0.25, "b": 0.1, "c": 2.0}
    assert of().lr_multipliers(nn.Sequential()) == {}


def test_training_mode_is_kept_out_of_what_each_asks_for() -> None:
    one, two = Appends("one"), Appends("two")
    both = of(one, two)
    model, _ = both.adapt(nn.Sequential(nn.BatchNorm2d(2)), CONTEXT)
    both.set_train_mode(model.eval())
    assert [module.training for module in model] == [True, False, False]
    both.on_epoch_start(model, 3)
    assert one.calls == two.calls == ["configure_train_mode", "on_epoch_start 3"]


@pytest.mark.parametrize(
    ("each", "expected"),
    [([], True), ([True], True), ([False], False), ([False, True], True), ([False, False], False)],
)
def test_there_is_training_where_there_are_none_or_one_asks_for_it(each: list[bool], expected: bool) -> None:
    assert of(*(Appends(f"one{place}", trains=trains) for place, trains in enumerate(each))).trains is expected


def test_the_teacher_is_that_of_the_last_that_has_one() -> None:
    first, last = Teacher(nn.Identity()), Teacher(nn.Identity())
    assert of(Appends("one", teacher=first), Appends("two", teacher=last), Appends("three")).teacher is last
    assert of(Appends("one")).teacher is None and of().teacher is None


def test_reports_stand_in_the_order_of_the_changes() -> None:
    part: Any = None
    items = of(Appends("one"), Appends("two")).report(
        EvaluationResult({}), part, lambda *_: EvaluationResult({}), Path()
    )
    assert [item.title for item in items] == ["one", "two"]


def test_one_that_implements_no_more_than_it_must_does_nothing_else() -> None:
    alone = of(Plain(Options()))
    model, made = alone.adapt(nn.Sequential(nn.BatchNorm2d(2)), CONTEXT)
    assert made == [{}] and alone.trains and alone.teacher is None and alone.lr_multipliers(model) == {}
    assert alone.resume(model, CONTEXT, made) == (model, made)
    alone.set_train_mode(model.eval())
    alone.on_epoch_start(model, 0)
    part: Any = None
    assert all(module.training for module in model.modules())
    assert alone.report(EvaluationResult({}), part, lambda *_: EvaluationResult({}), Path()) == []
