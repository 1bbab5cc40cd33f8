"""Checks of families: names, specs of members, KeyError for unknown names; the examples pass the checks of
architectures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from zoo.api import ArchitectureSpec, Family
from zoo.registry.lookup import Item, Registry, load_object
from zoo.testing.architectures import architecture_findings
from zoo.testing.faults import Finding, guarded

DESCRIBED = 25
"""The number of members whose specs are checked, evenly spaced; building all of them could take days."""


def family_findings(catalogue: Registry, item: Item[Any]) -> Iterator[Finding]:
    family: Family = load_object(item.spec.target, item)
    found = list(guarded("members", _member_findings(family, item)))
    yield from found
    if found:
        return
    yield from guarded("description", _description_findings(family))
    for name in item.spec.examples:
        yield from _example_findings(catalogue, item, name)


def _member_findings(family: Family, item: Item[Any]) -> Iterator[Finding]:
    missing = [name for name in ("version", "names", "spec") if not hasattr(family, name)]
    if missing:
        yield Finding("members", f"lacks {', '.join(missing)} (see zoo.api.Family)")
        return
    names = list(family.names())
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        yield Finding("members", f"lists '{twice[0]}' twice")
    unlisted = [name for name in item.spec.examples if name not in names]
    if unlisted:
        yield Finding("members", f"its example '{unlisted[0]}' is not in names()")


def _description_findings(family: Family) -> Iterator[Finding]:
    names = list(family.names())
    for name in names[:: max(1, len(names) // DESCRIBED)]:
        spec = family.spec(name)
        if not isinstance(spec, ArchitectureSpec) or spec.name != name:
            yield Finding(
                "description", f"spec('{name}') returns {spec!r:.60}, expected an ArchitectureSpec of that name"
            )
    unknown = "no_such_member"
    try:
        family.spec(unknown)
    except KeyError:
        return
    yield Finding("description", f"spec('{unknown}') must raise KeyError, since names does not list it")


def _example_findings(catalogue: Registry, item: Item[Any], name: str) -> Iterator[Finding]:
    """Run the checks of an architecture."""

    def found() -> Iterator[Finding]:
        yield from architecture_findings(catalogue, catalogue.architecture(f"{item.plugin.namespace}/{name}"))

    for check, text in guarded("build", found()):
        yield Finding(f"{name}/{check}", f"'{item.plugin.namespace}/{name}': {text}")
