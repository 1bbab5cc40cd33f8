"""An example of a task for ordered classes: the squared earth mover's distance."""

from __future__ import annotations

from zoo.api import DatasetSpec, RecipeSpec, TaskSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="rust",
            summary="Dark patches on a bright surface, 28×28 grayscale, generated; graded by their share of the area",
            target="zoo_grades.rust:open_rust",
            classes=("none", "slight", "moderate", "severe", "total"),
            shape=(1, 28, 28),
            mean=(0.5,),
            std=(0.25,),
            licence="Apache-2.0",
        )
    ]


@hookimpl
def zoo_register_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="grades",
            summary="Classification into ordered classes, such as grades or ages: a wrong class costs by its distance",
            source="L. Hou, C. Yu, D. Samaras: Squared earth mover's distance-based loss (2016)",
            target="zoo_grades.grades:Grades",
            accepts=("classes",),
        )
    ]


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="rust_grades",
            summary="The small CNN grades the rust on a generated surface",
            architecture="classics/cnn",
            dataset="grades/rust",
            task="grades/grades",
            parameters={"train": {"epochs": 6, "batch_size": 32, "optimizer": "adam", "lr": 0.003}},
        )
    ]
