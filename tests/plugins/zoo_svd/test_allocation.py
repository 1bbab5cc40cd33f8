"""Sharing a budget among layers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from zoo_svd.allocation import Harm, Option, allocate, spent, steps, uniform, worthwhile
from zoo_svd.forms import Choice

from zoo.errors import UsageError


def menu(rows, columns, harm, *, unit=4.0, decay=0.8, every=False):
    """Of a matrix whose singular values fall by ``decay``."""
    values = decay ** np.arange(min(rows, columns))
    losses = {
        rank: float(values[rank:].sum() / values.sum())
        for rank in (range(1, min(rows, columns)) if every else steps(min(rows, columns)))
    }
    curve = Harm(((0.5, harm),))
    options = [
        Option(Choice("linear", (rank,)), unit * rank * (rows + columns), curve(lost), lost)
        for rank, lost in losses.items()
    ]
    unchanged = Option(None, unit * rows * columns, 0.0, 0.0)
    return [unchanged, *(option for option in options if option.cost < unchanged.cost)]


def rank_of(choice, otherwise):
    return otherwise if choice is None else choice.ranks[0]


@pytest.mark.parametrize("budget", [0.8, 0.5, 0.25, 0.1])
def test_a_budget_is_kept_and_used(budget) -> None:
    menus = {"a": menu(64, 128, 1.0), "b": menu(64, 64, 0.01), "c": menu(10, 84, 5.0)}
    choices = allocate(menus, budget)
    assert 0.8 * budget <= spent(menus, choices) <= budget
    assert all(choice is None or choice.ranks[0] < 16 or choice.ranks[0] % 8 == 0 for choice in choices.values())


def test_the_greedy_walk_comes_near_the_best_of_all_choices() -> None:
    menus = {"a": menu(12, 20, 1.0, decay=0.5), "b": menu(16, 10, 0.02, decay=0.9), "c": menu(8, 30, 0.3, decay=0.7)}
    for budget in (0.6, 0.4, 0.25):
        allowed = budget * sum(each[0].cost for each in menus.values())
        affordable = (
            options
            for options in itertools.product(*menus.values())
            if sum(option.cost for option in options) <= allowed
        )
        best = min(sum(option.harm for option in options) for options in affordable)
        choices = allocate(menus, budget)
        found = sum(option.harm for name, each in menus.items() for option in each if option.choice == choices[name])
        assert found <= 1.25 * best + 1e-9


def test_a_layer_that_matters_more_keeps_more() -> None:
    choices = allocate({"harmless": menu(64, 64, 0.001), "vital": menu(64, 64, 10.0)}, 0.4)
    assert rank_of(choices["vital"], 64) > rank_of(choices["harmless"], 64)


def test_of_two_forms_the_one_that_does_less_harm_at_a_cost_is_taken() -> None:
    dear = menu(64, 64, 1.0)
    cheap = [
        Option(Choice("spatial", option.choice.ranks), option.cost, option.harm / 10, option.lost)
        for option in dear[1:]
    ]
    found = allocate({"a": [*dear, *cheap]}, 0.5)["a"]
    assert found.form == "spatial"


def test_a_budget_that_cannot_be_met_is_told() -> None:
    with pytest.raises(UsageError, match=r"a budget of 0\.01 cannot be met.*use at least 0\.125"):
        allocate({"a": menu(16, 16, 1.0)}, 0.01)


def test_where_nothing_becomes_cheaper_that_is_told() -> None:
    with pytest.raises(UsageError, match="no factorisation makes a layer of this network cheaper"):
        allocate({"a": [Option(None, 1.0, 0.0, 0.0)]}, 0.5)


def test_the_same_share_for_every_layer() -> None:
    found = uniform(
        {"a": menu(64, 128, 1.0, every=True), "b": menu(4, 4, 1.0), "c": [Option(None, 4.0, 0.0, 0.0)]}, 0.5
    )
    assert found == {"a": Choice("linear", (21,)), "b": Choice("linear", (1,)), "c": None}


def test_what_another_option_beats_in_cost_and_harm_is_left_out() -> None:
    options = [Option(None, cost, harm, 0.0) for cost, harm in [(3, 1), (2, 2), (2, 3), (1, 5), (4, 1)]]
    assert [(option.cost, option.harm) for option in worthwhile(options)] == [(3, 1), (2, 2), (1, 5)]


def test_harm_is_read_between_what_was_measured() -> None:
    harm = Harm.of([(0.5, 1.0), (0.1, 0.01), (0.3, 0.009)])
    assert harm(0.1) == pytest.approx(0.01) and harm(0.5) == pytest.approx(1.0)
    assert 0.01 <= harm(0.3) < harm(0.4) < 1.0 < harm(0.9)
    assert Harm.of([])(0.25) == pytest.approx(0.25)
