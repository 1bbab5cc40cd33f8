"""Whether a family lists its members, describes them, and says KeyError of what it has not; its examples are held to
what any architecture is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from zoo.api import ArchitectureSpec, Family
from zoo.errors import ZooError
from zoo.registry.lookup import Item, Registry, load_object
from zoo.testing.architectures import architecture_faults

DESCRIBED = 25
"""Members that are described, spread over the list; building them all could take days."""


def family_faults(catalogue: Registry, item: Item[Any]) -> Iterator[str]:
    family: Family = load_object(item.spec.target, item)
    missing = [name for name in ("version", "names", "spec") if not hasattr(family, name)]
    if missing:
        yield f"lacks {', '.join(missing)} (see zoo.api.Family)"
        return
    names = list(family.names())
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        yield f"lists '{twice[0]}' twice"
    strangers = [name for name in item.spec.examples if name not in names]
    if strangers:
        yield f"its example '{strangers[0]}' is not among its names"
        return
    yield from _description_faults(family, names)
    for name in item.spec.examples:
        yield from _example_faults(catalogue, f"{item.plugin.namespace}/{name}")


def _description_faults(family: Family, names: list[str]) -> Iterator[str]:
    for name in names[:: max(1, len(names) // DESCRIBED)]:
        spec = family.spec(name)
        if not isinstance(spec, ArchitectureSpec) or spec.name != name:
            yield f"describes '{name}' as {spec!r:.60}"
    unknown = "no_such_member"
    try:
        family.spec(unknown)
    except KeyError:
        return
    yield f"describes '{unknown}', which it does not list; raise KeyError"


def _example_faults(catalogue: Registry, name: str) -> Iterator[str]:
    try:
        yield from (f"'{name}': {fault}" for fault in architecture_faults(catalogue, catalogue.architecture(name)))
    except ZooError as error:
        yield f"'{name}': {error}"
