"""What `zoo list` prints; imports neither the parser nor a plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from zoo.cli.item_names import is_pattern, note_faulty, unknown, wildcard
from zoo.cli.output import emphasised, note, say, say_json, say_table
from zoo.errors import UsageError
from zoo.registry.catalogue import Item, Member
from zoo.registry.item_facts import as_dict

if TYPE_CHECKING:
    from zoo.registry.catalogue import Catalogue

KINDS = {
    "architectures": "architecture",
    "datasets": "dataset",
    "tasks": "task",
    "adaptations": "adaptation",
    "recipes": "recipe",
    "exporters": "exporter",
    "augmentations": "augmentation",
    "metrics": "metric",
}


def print_items(
    catalogue: Catalogue, kind: str | None, pattern: str | None, plugin: str | None, *, as_json: bool
) -> None:
    kinds = list(KINDS.values()) if kind is None else [_kind(kind)]
    if plugin is not None:
        _check_plugin(catalogue, plugin)
    found: dict[str, list[Item[Any] | Member]] = {
        each: list(_found(catalogue, each, pattern, plugin)) for each in kinds
    }
    if as_json:
        say_json([as_dict(item) for items in found.values() for item in items])
    else:
        _say_groups(catalogue, {each: items for each, items in found.items() if items}, titled=kind is None)
    note_faulty(catalogue.plugins)
    for fault in catalogue.faults.values():
        note(f"note: {fault}")


def _found(catalogue: Catalogue, kind: str, pattern: str | None, plugin: str | None) -> Iterator[Item[Any] | Member]:
    """A family is one line among the architectures, until its members are asked for by a name or by their plugin."""
    yield from catalogue.items(kind, wildcard(pattern), plugin)
    if kind == "architecture" and (pattern is not None or plugin is not None):
        yield from catalogue.members(wildcard(pattern), plugin)
    elif kind == "architecture":
        yield from catalogue.items("family")


def _say_groups(catalogue: Catalogue, groups: dict[str, list[Item[Any] | Member]], *, titled: bool) -> None:
    if not groups:
        note("no component matches this name")
    for index, (kind, items) in enumerate(groups.items()):
        if titled:
            if index:
                say()
            say(emphasised(f"{kind}s"))
        rows = [_row(catalogue, item) for item in items]
        say_table(["name", "summary", "plugin"], rows, flexible=1, indent="  " if titled else "")


def _row(catalogue: Catalogue, item: Item[Any] | Member) -> list[str]:
    if isinstance(item, Member):
        # to know more of it, its library would have to be imported
        return [item.canonical, "", item.family.plugin.namespace]
    return [catalogue.short_name(item), item.spec.summary, item.plugin.namespace]


def _kind(text: str) -> str:
    for many, one in KINDS.items():
        if text in (many, one):
            return one
    if is_pattern(text):
        raise UsageError(f"'{text}' stands where the kind is due", fix=f"for example `zoo list recipes '{text}'`")
    raise unknown("kind of item", text, KINDS, f"choose one of: {', '.join(KINDS)}")


def _check_plugin(catalogue: Catalogue, namespace: str) -> None:
    known = {plugin.namespace: plugin for plugin in catalogue.plugins}
    if namespace not in known:
        raise unknown("plugin", namespace, known, f"choose one of: {', '.join(known)}")
    found = known[namespace]
    if found.state != "ok":
        raise found.unavailable()
