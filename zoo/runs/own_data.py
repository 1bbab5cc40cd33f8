"""``zoo run NAME:PATH``: the recipe for a user's own data, of those that plugins offer for it (`RecipeSpec.own_data`).

The recipe has the largest weights that the machine can afford: any on a GPU, otherwise up to `PER_CORE` bytes for each
CPU core. Weights that are here come before those that must be downloaded.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from zoo.api import RecipeSpec
from zoo.errors import UsageError, ZooError
from zoo.models.pretrained_weights import is_here
from zoo.registry.lookup import Item, Registry

PER_CORE = 10_000_000
MEGABYTE = 1e6


class Offer(NamedTuple):
    """A recipe, and the size of its weights in bytes."""

    recipe: Item[RecipeSpec]
    size: int
    here: bool


def choose(registry: Registry, kind: str, data: str, *, gpu: bool, cores: int | None = None) -> Offer:
    """Return the recipe for data whose targets are of this kind. Raises UsageError if there is none."""
    offers = [offer for offer in (_offer(registry, item, kind) for item in registry.items("recipe")) if offer]
    if not offers:
        raise UsageError(
            f"{data} has targets of the kind {kind}, for which no installed recipe is automatic",
            fix=f"name a network: zoo run ARCHITECTURE --data {data}",
        )
    most = PER_CORE * (cores or os.cpu_count() or 1)
    affordable = [offer for offer in offers if gpu or offer.size <= most] or [min(offers, key=lambda each: each.size)]
    return max(affordable, key=lambda each: (each.here, each.size))


def has_gpu() -> bool:
    """Return whether torch sees a GPU; the family of the network imports torch anyway."""
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _offer(registry: Registry, item: Item[RecipeSpec], kind: str) -> Offer | None:
    recipe = item.spec
    if recipe.own_data is None or recipe.architecture is None:
        return None
    try:
        if registry.dataset(recipe.dataset).spec.targets[0] != kind:
            return None
        architecture = registry.architecture(recipe.architecture)
        name = str(recipe.parameters.get("weights"))
        return Offer(item, architecture.spec.weights[name].size or 0, is_here(architecture, name))
    except (ZooError, KeyError):
        return None  # it needs something that is not installed


def sentence(offer: Offer, kind: str, data: str) -> str:
    state = "in the data folder" if offer.here else "to be downloaded"
    return (
        f"{data} has {'one class per image' if kind == 'classes' else f'targets of the kind {kind}'}; using recipe "
        f"{offer.recipe.spec.name} with pretrained weights, {offer.size / MEGABYTE:.0f} MB ({state}); "
        "--arch NAME --weights W chooses another network"
    )


def layer_of(offer: Offer) -> dict[str, Any]:
    return dict(offer.recipe.spec.own_data or {})
