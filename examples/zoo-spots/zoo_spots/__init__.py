"""An example of a segmentation task: the focal Tversky loss, for small objects."""

from __future__ import annotations

from zoo.api import DatasetSpec, RecipeSpec, TaskSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="spots",
            summary="Small bright spots in noise, 32×32 grayscale with masks, generated",
            target="zoo_spots.images:open_spots",
            targets=("mask",),
            shape=(1, 32, 32),
            mean=(0.4,),
            std=(0.2,),
            licence="Apache-2.0",
        )
    ]


@hookimpl
def zoo_register_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="tversky",
            summary="Segmentation with the focal Tversky loss, in which a missed pixel counts more than a false one",
            source="N. Abraham, N. Khan: A novel focal Tversky loss function (2018)",
            target="zoo_spots.tversky:Tversky",
            options="zoo_spots.tversky:TverskyOptions",
            accepts=("mask",),
            needs=("map",),
        )
    ]


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="spots_unet",
            summary="A tiny U-Net finds small spots",
            architecture="classics/unet",
            dataset="spots/spots",
            task="spots/tversky",
            parameters={
                "architecture": {"width": 4, "depth": 2},
                "train": {"epochs": 6, "batch_size": 16, "optimizer": "adam", "lr": 0.01, "schedule": "cosine"},
            },
        )
    ]
