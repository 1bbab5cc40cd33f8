"""How a budget is shared among layers: where a unit saved costs least.

Every layer has a menu: it may stay as it is, or take one of its forms at one of its ranks, each at a cost (bytes,
multiply-accumulates or milliseconds) and with a harm to the network. From whole layers on, the step that does least
harm a unit saved is taken until the budget is met (a greedy walk down the lower convex hulls), and what is left over is
given back where it helps most.
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
"""From this rank on ranks are multiples of that number, as vector units like them."""
LEAST = 1e-12
FLATTEST, STEEPEST = 0.1, 4.0
"""Powers of the energy left out by which harm may be said to grow where it was not measured."""


class Option(NamedTuple):
    """A choice (None: the layer as it is), its cost, its harm, and the share of the layer's energy that it leaves
    out."""

    choice: Choice | None
    cost: float
    harm: float
    lost: float


Menu = Sequence[Option]
"""Of one layer; the first is the layer as it is."""
Choices = dict[str, Choice | None]


@dataclass(frozen=True)
class Harm:
    """What leaving out a share of the energy does to the network, read between points that were measured, (share,
    harm), along it on logarithmic scales: harms grow by powers of it.
    """

    points: Sequence[tuple[float, float]] = ((1.0, 1.0),)

    @classmethod
    def of(cls, measured: Sequence[tuple[float, float]]) -> Harm:
        """Ascending shares with harms that do not fall, which measuring by few images may make them do."""
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
    """Ranks to choose among, ascending."""
    return [rank for rank in range(1, largest + 1) if rank < ROUND_FROM or rank % ROUND_TO == 0]


def worthwhile(options: Sequence[Option]) -> list[Option]:
    """Those that no other one beats in both cost and harm, the dearest first."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda each: (each.cost, each.harm)):
        if not kept or option.harm < kept[-1].harm:
            kept.append(option)
    return kept[::-1]


def spent(menus: Mapping[str, Menu], choices: Choices) -> float:
    """The share of the whole cost that choices leave."""
    total = sum(next(option.cost for option in menu if option.choice == choices[name]) for name, menu in menus.items())
    return total / whole(menus)


def whole(menus: Mapping[str, Menu]) -> float:
    return sum(menu[0].cost for menu in menus.values())


def allocate(menus: Mapping[str, Menu], budget: float) -> Choices:
    """A choice for each layer, of which all together cost no more than ``budget`` times the whole.

    Raises UsageError where that cannot be.
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
    """The same share of each layer: what is done without looking at the network.

    Of its first form the most that costs no more, else the least.
    """
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
    """The layer and the cheaper option for which the least harm is done for each unit saved."""
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
    """Take dearer options for as long as the rest of the budget allows it, where a unit helps most."""
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
