"""torchvision: all classification networks of torchvision, with torchvision's names, and recipes with its weights."""

from __future__ import annotations

from zoo.api import FamilySpec, RecipeSpec, hookimpl
from zoo_torchvision.recipes import RECIPES

ZOO_API = "2.0"


@hookimpl
def zoo_register_families() -> list[FamilySpec]:
    return [
        FamilySpec(
            name="torchvision",
            summary="torchvision's classification networks, from AlexNet to Swin V2, with its weights for ImageNet",
            source="torchvision, https://github.com/pytorch/vision",
            target="zoo_torchvision.family:FAMILY",
            examples=("mnasnet0_5", "shufflenet_v2_x0_5", "squeezenet1_1"),
        )
    ]


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return RECIPES
