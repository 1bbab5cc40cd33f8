"""An example of a metric learning task: the batch-all triplet loss."""

from __future__ import annotations

from zoo.api import RecipeSpec, TaskSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="triplets",
            summary="Metric learning with the triplet loss: images of a class are close to each other",
            source="A. Hermans, L. Beyer, B. Leibe: In defense of the triplet loss for person re-identification (2017)",
            target="zoo_triplets.triplets:Triplets",
            options="zoo_triplets.options:TripletsOptions",
            accepts=("classes",),
        )
    ]


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="digits_triplets",
            summary="The small CNN puts handwritten digits of the same class close to each other",
            architecture="classics/cnn",
            dataset="datasets/digits",
            task="triplets/triplets",
            parameters={
                "dataset": {"resize": 28},
                "train": {"epochs": 6, "batch_size": 64, "optimizer": "adam", "lr": 0.003, "schedule": "cosine"},
            },
        )
    ]
