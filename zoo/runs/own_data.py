"""``zoo run NAME:PATH``: the recipe for a user's own data, of those that plugins offer for it (`RecipeSpec.own_data`).

The recipe has the largest weights that the machine can afford: any on a GPU, otherwise up to `PER_CORE` bytes for each
CPU core. Weights that are here come before those that must be downloaded. ``--quality`` chooses among the recipes that
take longer for a better model (`RecipeSpec.quality`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo.api import RecipeSpec
from zoo.errors import UsageError, ZooError
from zoo.models.pretrained_weights import is_here
from zoo.registry.lookup import Item, Registry
from zoo.runs.fitting_weights import fits

PER_CORE = 10_000_000
MEGABYTE = 1e6


TAKEN_FOR = {
    "classes": "one class per image",
    "multi_label": "several labels per image",
    "values": "numbers per image",
    "mask": "a mask per image, with a class for each pixel",
}


class Offer(NamedTuple):
    """A recipe, and the size in bytes of its pretrained weights; 0 if it has none, or if a file replaces them."""

    recipe: Item[RecipeSpec]
    size: int
    here: bool


def choose(
    registry: Registry,
    kind: str,
    data: str,
    *,
    gpu: Callable[[], bool],
    quality: bool = False,
    cores: int | None = None,
    file: Path | None = None,
) -> Offer:
    """Return the recipe for data whose targets are of this kind. Raises UsageError if there is none.

    ``gpu`` is asked only if the choice depends on it. With a weights ``file``, the recipe is one of the network that
    has these tensors.
    """
    found = [offer for offer in (_offer(registry, item, kind) for item in registry.items("recipe")) if offer]
    if not found:
        raise UsageError(
            f"{data} has {TAKEN_FOR.get(kind, kind)}, for which no installed recipe is automatic",
            fix=f"name a network: zoo run ARCHITECTURE --data {data}",
        )
    offers = [offer for offer in found if offer.recipe.spec.quality == quality]
    if not offers:
        raise UsageError(
            f"{data} has {TAKEN_FOR.get(kind, kind)}, for which there is {'no' if quality else 'only a'} recipe for "
            "--quality",
            fix="leave --quality out" if quality else "add --quality",
        )
    if file is not None:
        return _with_file(registry, offers, file)
    most = PER_CORE * (cores or os.cpu_count() or 1)
    affordable = [offer for offer in offers if offer.size <= most] or [min(offers, key=lambda each: each.size)]
    if len(affordable) < len(offers) and gpu():
        affordable = offers
    return max(affordable, key=lambda each: (each.here, each.size))


def _with_file(registry: Registry, offers: Sequence[Offer], file: Path) -> Offer:
    named = [(offer, str(offer.recipe.spec.architecture)) for offer in offers if offer.size]
    for offer, name in named:
        if fits(registry, registry.architecture(name), file):
            return offer._replace(size=0, here=True)
    raise UsageError(
        f"the tensors in this file are of none of the networks for your own data ({', '.join(n for _, n in named)})",
        where=file,
        fix="add --arch NAME, the network that the weights are of",
    )


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
        name = recipe.parameters.get("weights")
        if name is None:
            return Offer(item, 0, here=True)
        return Offer(item, architecture.spec.weights[name].size or 0, is_here(architecture, name))
    except (ZooError, KeyError):
        return None  # it needs something that is not installed


def sentence(offer: Offer, kind: str, data: str) -> str:
    """Return how the data is read, and the recipe for it."""
    state = "in the data folder" if offer.here else "to be downloaded"
    weights = f" with pretrained weights, {offer.size / MEGABYTE:.0f} MB ({state})" if offer.size else ""
    return (
        f"{data} has {TAKEN_FOR.get(kind, kind)}; using recipe {offer.recipe.spec.name}{weights}; "
        "--arch NAME --weights W chooses another network"
    )


def layer_of(offer: Offer) -> dict[str, Any]:
    return dict(offer.recipe.spec.own_data or {})
