"""torchvision: all of torchvision's networks for classification and segmentation, with torchvision's names, and recipes
with its weights."""

from __future__ import annotations

from zoo.api import FamilySpec, RecipeSpec, hookimpl
from zoo_torchvision.recipes import RECIPES

ZOO_API = "2.0"


@hookimpl
def zoo_register_families() -> list[FamilySpec]:
    return [
        FamilySpec(
            name="torchvision",
            summary=(
                "torchvision's networks for classification (AlexNet to Swin V2) and segmentation, with their "
                "pretrained weights"
            ),
            source="torchvision, https://github.com/pytorch/vision",
            target="zoo_torchvision.family:FAMILY",
            examples=("lraspp_mobilenet_v3_large", "mnasnet0_5", "shufflenet_v2_x0_5", "squeezenet1_1"),
        )
    ]


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return RECIPES
