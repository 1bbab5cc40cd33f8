"""Allocation of a budget to layers, with the smallest loss per unit saved.

Every layer has options: unchanged, or one of its forms at one of its ranks. Each option has a cost (bytes,
multiply-accumulates or milliseconds) and a loss, measured on the network. Starting with unchanged layers, the step with
the smallest loss per unit saved is taken until the budget is met (a greedy walk along the lower convex hulls). The rest
of the budget is then spent where it reduces the loss most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from zoo.errors import UsageError
from zoo_svd.forms import Choice

ROUND_FROM, ROUND_TO = 16, 8
"""The rank from which ranks are multiples of a number, which suits vector units."""
LEAST = 1e-12
FLATTEST, STEEPEST = 0.1, 4.0
"""The limits of the exponent with which the loss grows with the omitted energy outside of the measured range."""


class Option(NamedTuple):
    """A choice (None: the unchanged layer), its cost, its loss, and the share of the layer's energy that it omits."""

    choice: Choice | None
    cost: float
    harm: float
    lost: float


Menu = Sequence[Option]
"""The options of one layer; the first is the unchanged layer."""
Choices = dict[str, Choice | None]


@dataclass(frozen=True)
class Harm:
    """The loss of the network as a function of the omitted share of a layer's energy, interpolated on logarithmic
    scales between measured points (share, loss)."""

    points: Sequence[tuple[float, float]] = ((1.0, 1.0),)

    @classmethod
    def of(cls, measured: Sequence[tuple[float, float]]) -> Harm:
        """Return an interpolation with non-decreasing losses; measurements with few images may decrease."""
        kept: list[tuple[float, float]] = []
        for share, harm in sorted(measured):
            if not kept or share > kept[-1][0] * 1.01:
                kept.append((max(share, LEAST), max(harm, kept[-1][1] if kept else LEAST)))
        return cls(tuple(kept) or cls.points)

    def __call__(self, lost: float) -> float:
        share = max(lost, LEAST)
        if len(self.points) == 1:
            return self.points[0][1] * share / self.points[0][0]
        (x0, y0), (x1, y1) = next((pair for pair in pairwise(self.points) if share <= pair[1][0]), self.points[-2:])
        slope = math.log(y1 / y0) / math.log(x1 / x0)
        if x0 <= share <= x1:
            return y0 * math.exp(slope * math.log(share / x0))
        x, y = (x0, y0) if share < x0 else (x1, y1)
        return y * math.exp(min(max(slope, FLATTEST), STEEPEST) * math.log(share / x))


def steps(largest: int) -> list[int]:
    """Return the candidate ranks, ascending."""
    return [rank for rank in range(1, largest + 1) if rank < ROUND_FROM or rank % ROUND_TO == 0]


def worthwhile(options: Sequence[Option]) -> list[Option]:
    """Return the Pareto-optimal options in cost and loss, the most expensive first."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda each: (each.cost, each.harm)):
        if not kept or option.harm < kept[-1].harm:
            kept.append(option)
    return kept[::-1]


def spent(menus: Mapping[str, Menu], choices: Choices) -> float:
    """Return the cost of choices relative to that of the unchanged layers."""
    total = sum(next(option.cost for option in menu if option.choice == choices[name]) for name, menu in menus.items())
    return total / whole(menus)


def whole(menus: Mapping[str, Menu]) -> float:
    return sum(menu[0].cost for menu in menus.values())


def allocate(menus: Mapping[str, Menu], budget: float) -> Choices:
    """Return a choice for each layer with a total cost of at most ``budget`` times that of the unchanged layers.

    Raises UsageError if that is impossible.
    """
    allowed, offers = budget * whole(menus), {name: [menu[0], *worthwhile(menu[1:])] for name, menu in menus.items()}
    chosen, left = {name: menu[0] for name, menu in menus.items()}, allowed - whole(menus)
    if budget < 1 and all(len(menu) == 1 for menu in menus.values()):
        raise UsageError(
            "no factorisation makes a layer of this network cheaper",
            where="task.of",
            fix="use another unit: --set task.of=bytes or task.of=macs",
        )
    while left < 0:
        step = _cheapest_step(offers, chosen)
        if step is None:
            least = math.ceil(1000 * (allowed - left) / whole(menus)) / 1000
            raise UsageError(
                f"a budget of {budget:g} cannot be met",
                where="task.budget",
                fix=f"use at least {least:.3f}, where every layer has its lowest cost",
            )
        name, option = step
        left += chosen[name].cost - option.cost
        chosen[name] = option
    _give_back(offers, chosen, left)
    return {name: option.choice for name, option in chosen.items()}


def uniform(menus: Mapping[str, Menu], budget: float) -> Choices:
    """Return the same relative cost for each layer: the largest option of its first form within the budget, otherwise
    the smallest."""
    found: Choices = {}
    for name, (unchanged, *options) in menus.items():
        form = next((option.choice.form for option in options if option.choice), None)
        offers = sorted(
            (option for option in options if option.choice and option.choice.form == form),
            key=lambda option: option.cost,
        )
        within = [option for option in offers if option.cost <= budget * unchanged.cost] or offers[:1]
        found[name] = within[-1].choice if within else None
    return found


def _cheapest_step(offers: Mapping[str, Menu], chosen: Mapping[str, Option]) -> tuple[str, Option] | None:
    """Return the layer and the cheaper option with the smallest loss per unit saved, or None."""
    best: tuple[float, str, Option] | None = None
    for name, menu in offers.items():
        now = chosen[name]
        for option in menu:
            if option.cost < now.cost:
                price = (option.harm - now.harm) / (now.cost - option.cost)
                if best is None or price < best[0]:
                    best = (price, name, option)
    return None if best is None else best[1:]


def _give_back(offers: Mapping[str, Menu], chosen: dict[str, Option], left: float) -> None:
    """Take more expensive options within the rest of the budget, where they reduce the loss most per unit."""
    while True:
        best: tuple[float, str, Option] | None = None
        for name, menu in offers.items():
            now = chosen[name]
            for option in menu:
                if now.cost < option.cost <= now.cost + left:
                    gain = (now.harm - option.harm) / (option.cost - now.cost)
                    if best is None or gain > best[0]:
                        best = (gain, name, option)
        if best is None or best[0] <= 0:
            return
        _, name, option = best
        left -= option.cost - chosen[name].cost
        chosen[name] = option
