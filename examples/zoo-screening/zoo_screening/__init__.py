"""An example of a multi-label task: a missed label costs more than a false alarm."""

from __future__ import annotations

from zoo.api import RecipeSpec, TaskSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="screening",
            summary="Multi-label classification with the lowest cost of missed labels and false alarms",
            source="C. Elkan: The foundations of cost-sensitive learning (2001)",
            target="zoo_screening.screening:Screening",
            options="zoo_screening.options:ScreeningOptions",
            accepts=("multi_label",),
        )
    ]


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="digits_screening",
            summary="Which digits are on a canvas, where to miss one costs five false alarms",
            architecture="classics/lenet",
            dataset="datasets/digit_sets",
            task="screening/screening",
            parameters={
                "dataset": {"resize": 32},
                "train": {"epochs": 8, "batch_size": 32, "lr": 0.003, "schedule": "cosine"},
            },
        )
    ]
