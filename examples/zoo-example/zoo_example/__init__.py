"""An example plugin of the zoo.

Here are specs only: what they name is imported when it is first used, so this never imports torch.
"""

from __future__ import annotations

from zoo.api import ArchitectureSpec, DatasetSpec, Expected, RecipeSpec, TaskSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_architectures() -> list[ArchitectureSpec]:
    return [
        ArchitectureSpec(
            name="sepnet",
            summary="A few depthwise-separable convolutions, pooled over the image",
            source="A. Howard et al.: MobileNets (2017)",
            paper="https://arxiv.org/abs/1704.04861",
            year=2017,
            target="zoo_example.sepnet:build",
            options="zoo_example.options:SepNetOptions",
            input=(1, 28, 28),
            smallest=8,
            head="head",
        )
    ]


@hookimpl
def zoo_register_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="shapes",
            summary="Circles, squares and triangles in noise, 28×28 grayscale, generated",
            target="zoo_example.shapes:open_shapes",
            options="zoo_example.options:ShapesOptions",
            classes=("circle", "square", "triangle"),
            shape=(1, 28, 28),
            mean=(0.16,),
            std=(0.27,),
            licence="Apache-2.0",
        )
    ]


@hookimpl
def zoo_register_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="focal",
            summary="Classification with focal loss, which down-weights samples that are already classified well",
            source="T.-Y. Lin et al.: Focal Loss for Dense Object Detection (2017), https://arxiv.org/abs/1708.02002",
            target="zoo_example.focal:Focal",
            options="zoo_example.options:FocalOptions",
            accepts=("classes",),
        )
    ]


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="shapes_sepnet",
            summary="The separable network on generated shapes, with focal loss",
            architecture="example/sepnet",
            dataset="example/shapes",
            task="example/focal",
            parameters={
                "train": {"epochs": 10, "batch_size": 32, "optimizer": "adam", "lr": 0.02, "schedule": "cosine"}
            },
            expected=Expected(mean=0.955, sd=0.008, seeds=8, seconds=7, device="cpu, 1 thread"),
        )
    ]
