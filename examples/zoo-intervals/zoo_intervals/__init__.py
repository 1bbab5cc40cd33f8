"""An example of a regression task: prediction intervals with a stated coverage."""

from __future__ import annotations

from zoo.api import RecipeSpec, TaskSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="intervals",
            summary="Regression with prediction intervals, by conformalised quantile regression",
            source="Y. Romano, E. Patterson, E. Candès: Conformalized quantile regression (2019)",
            target="zoo_intervals.intervals:Intervals",
            options="zoo_intervals.options:IntervalsOptions",
            accepts=("values",),
        )
    ]


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="rotated_intervals",
            summary="The angle of a rotated digit, with the interval that holds it in 90 % of all cases",
            architecture="classics/lenet",
            dataset="datasets/digits_rotated",
            task="intervals/intervals",
            parameters={"train": {"epochs": 6, "batch_size": 32, "lr": 0.003, "schedule": "cosine"}},
        )
    ]
