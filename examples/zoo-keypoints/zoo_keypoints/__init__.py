"""An example of a task of a kind that zoo does not have: keypoints, as an opaque target."""

from __future__ import annotations

from zoo.api import DatasetSpec, RecipeSpec, TaskSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="pointers",
            summary="A line with a round end in noise, 24×24 grayscale, generated; the targets are its two ends",
            target="zoo_keypoints.pointers:open_pointers",
            targets=("opaque",),
            shape=(1, 24, 24),
            mean=(0.2,),
            std=(0.25,),
            licence="Apache-2.0",
        )
    ]


@hookimpl
def zoo_register_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="keypoints",
            summary="Positions of keypoints in pixels, with the L1 loss",
            target="zoo_keypoints.keypoints:Keypoints",
            accepts=("opaque",),
        )
    ]


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="pointers_cnn",
            summary="Find both ends of a generated pointer",
            architecture="classics/cnn",
            dataset="keypoints/pointers",
            task="keypoints/keypoints",
            parameters={"train": {"epochs": 10, "batch_size": 32, "lr": 0.01, "schedule": "cosine"}},
        )
    ]
