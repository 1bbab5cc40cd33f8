"""How a budget is shared among layers: where a byte saved costs least.

A layer's harm at a rank is measured at a few ranks (`Curve.points`) and read between them along the energy it leaves out, on logarithmic scales:
harms grow by powers of it. Then, from whole layers on, the step that costs least a byte is taken until the budget is met (a greedy walk down the
lower convex hulls), and what is left over is given back where it helps most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from zoo.errors import UsageError
from zoo_svd.layers import pays

ROUND_FROM, ROUND_TO = 16, 8
"""From this rank on ranks are multiples of that number, as vector units like them."""


@dataclass(frozen=True)
class Curve:
    """One layer: the sides of its matrix, what a weight of it costs (its bytes, or its places for multiply-accumulates), the share of energy that a
    rank leaves out, and the harm that was measured at some ranks: ascending (share, harm)."""

    rows: int
    columns: int
    unit: float
    lost: Callable[[int], float]
    points: Sequence[tuple[float, float]]

    @property
    def whole(self) -> float:
        return self.unit * self.rows * self.columns

    def cost(self, rank: int | None) -> float:
        """Of a rank; of the layer as it is, where that is None."""
        return self.whole if rank is None else self.unit * rank * (self.rows + self.columns)

    def harm(self, rank: int | None) -> float:
        if rank is None:
            return 0.0
        share = max(self.lost(rank), 1e-12)
        points = [(max(x, 1e-12), max(y, 1e-12)) for x, y in self.points]
        if len(points) == 1:
            return points[0][1] * share / points[0][0]
        for (x0, y0), (x1, y1) in pairwise(points):
            if share <= x1 or (x1, y1) == points[-1]:
                slope = math.log(y1 / y0) / math.log(x1 / x0) if x1 > x0 else 1.0
                return float(y0 * (share / x0) ** min(max(slope, 0.1), 4.0))
        return points[-1][1]

    def ranks(self) -> list[int]:
        """Those that pay, ascending."""
        largest = self.rows * self.columns // (self.rows + self.columns) + 1
        return [rank for rank in range(1, largest + 1) if pays(rank, self.rows, self.columns) and (rank < ROUND_FROM or rank % ROUND_TO == 0)]


Ranks = dict[str, int | None]


def allocate(curves: Mapping[str, Curve], budget: float) -> Ranks:
    """A rank for each layer, None where it stays as it is, of which all together cost no more than ``budget`` times the whole.

    Raises UsageError where that cannot be: not even by layers of rank 1.
    """
    allowed = budget * sum(curve.whole for curve in curves.values())
    chosen: Ranks = dict.fromkeys(curves)
    spent = sum(curve.whole for curve in curves.values())
    while spent > allowed:
        step = _cheapest_step(curves, chosen)
        if step is None:
            least = spent / sum(curve.whole for curve in curves.values())
            raise UsageError(
                f"a budget of {budget:g} cannot be met", where="task.budget", fix=f"give at least {least:.3f}: there every layer has rank 1"
            )
        name, rank = step
        spent += curves[name].cost(rank) - curves[name].cost(chosen[name])
        chosen[name] = rank
    _give_back(curves, chosen, allowed - spent)
    return chosen


def uniform(curves: Mapping[str, Curve], budget: float) -> Ranks:
    """The same share of each layer: what is done without looking at the network."""
    found: Ranks = {}
    for name, curve in curves.items():
        rank = max(1, int(budget * curve.rows * curve.columns / (curve.rows + curve.columns)))
        found[name] = rank if pays(rank, curve.rows, curve.columns) else None
    return found


def _cheapest_step(curves: Mapping[str, Curve], chosen: Ranks) -> tuple[str, int] | None:
    """The layer and the lower rank for which the least harm is done for each unit saved."""
    best: tuple[float, str, int] | None = None
    for name, curve in curves.items():
        now, cost, harm = chosen[name], curve.cost(chosen[name]), curve.harm(chosen[name])
        for rank in curve.ranks():
            if now is not None and rank >= now:
                break
            price = (curve.harm(rank) - harm) / (cost - curve.cost(rank))
            if best is None or price < best[0]:
                best = (price, name, rank)
    return None if best is None else best[1:]


def _give_back(curves: Mapping[str, Curve], chosen: Ranks, left: float) -> None:
    """Raise ranks for as long as the rest of the budget allows it, where a unit helps most."""
    while True:
        best: tuple[float, str, int, float] | None = None
        for name, curve in curves.items():
            now = chosen[name]
            if now is None:
                continue
            for rank in curve.ranks():
                more = curve.cost(rank) - curve.cost(now)
                if rank > now and more <= left:
                    gain = (curve.harm(now) - curve.harm(rank)) / more
                    if best is None or gain > best[0]:
                        best = (gain, name, rank, more)
        if best is None or best[0] <= 0:
            return
        _, name, rank, more = best
        chosen[name] = rank
        left -= more
