"""The options of the task, in units of the cost of a false alarm."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from zoo.api import Options

Cost = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ScreeningOptions(Options):
    miss_cost: Cost = Field(5.0, description="cost of a missed label")
    miss_costs: dict[str, Cost] = Field({}, description="cost of single missed labels, by name")
