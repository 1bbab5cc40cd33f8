"""The classic networks, a file each, and recipes that train them."""

from __future__ import annotations

from zoo.api import ArchitectureSpec, RecipeSpec, hookimpl
from zoo_classics.architectures import ARCHITECTURES
from zoo_classics.label_recipes import LABEL_RECIPES
from zoo_classics.recipes import RECIPES

ZOO_API = "2.0"


@hookimpl
def zoo_register_architectures() -> list[ArchitectureSpec]:
    return ARCHITECTURES


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return [*RECIPES, *LABEL_RECIPES]
