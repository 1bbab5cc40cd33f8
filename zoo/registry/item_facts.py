"""What `zoo list` and `zoo info` have of every item, as JSON data."""

from __future__ import annotations

from typing import Any

from zoo.registry.catalogue import Item, Member


def as_dict(item: Item[Any] | Member) -> dict[str, Any]:
    if isinstance(item, Member):
        return {
            **as_dict(item.family),
            "kind": "architecture",
            "name": item.name,
            "canonical": item.canonical,
            "summary": None,
        }
    return {
        "kind": item.kind,
        "name": item.spec.name,
        "canonical": item.canonical,
        "summary": item.spec.summary,
        "plugin": item.plugin.namespace,
        "distribution": item.plugin.distribution,
        "version": item.plugin.version,
    }
