"""Checks of recipes from specs only, without torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zoo.errors import ZooError
from zoo.registry.lookup import Item, Registry
from zoo.runs.plan import RunPlan
from zoo.runs.resolve_config import resolve
from zoo.testing.faults import Finding


def plan_findings(catalogue: Registry, item: Item[Any]) -> Iterator[Finding]:
    """Check that the recipe resolves to a valid configuration, and that its architecture lists its weights."""
    try:
        plan = resolve(catalogue, item.canonical)
    except ZooError as error:
        yield Finding("configuration", str(error))
        return
    yield from weights_findings(item, plan)


def weights_findings(item: Item[Any], plan: RunPlan) -> Iterator[Finding]:
    if item.spec.weights is None:
        return
    known = {} if plan.architecture is None else plan.architecture.spec.weights
    if item.spec.weights not in known:
        yield Finding("weights", f"its architecture has no weights named '{item.spec.weights}'")
