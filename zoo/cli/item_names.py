"""How items and their plugins are named on the command line."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from zoo.cli.output import note, plural
from zoo.errors import UnknownNameError, nearest

if TYPE_CHECKING:
    from zoo.registry.catalogue import Plugin
    from zoo.registry.lookup import Item, Registry


def unknown(kind: str, name: str, known: Collection[str], otherwise: str) -> UnknownNameError:
    """The error for a wrong name: the nearest known ones or, where nothing is near, what to do ``otherwise``."""
    return UnknownNameError(kind, name, known, fix=None if nearest(name, known) else otherwise)


def display_name(catalogue: Registry, item: Item[Any]) -> str:
    """Bare where only one plugin has it, else canonical; of a family, what stands for all of it."""
    return catalogue.short_name(item)


def note_faulty(plugins: list[Plugin]) -> None:
    """One line about the plugins that could not be loaded."""
    faulty = [plugin.namespace for plugin in plugins if plugin.state not in ("ok", "disabled")]
    if faulty:
        note(f"note: {plural(len(faulty), 'plugin')} could not be loaded ({', '.join(faulty)}); see `zoo plugins`")


def wildcard(pattern: str | None) -> str:
    """A shell pattern as it is; a plain word is looked for anywhere in a name, and nothing stands for everything."""
    if pattern is None:
        return "*"
    return pattern if is_pattern(pattern) else f"*{pattern}*"


def exact_or_wildcard(catalogue: Registry, kind: str, text: str | None) -> str:
    """The name of an item as it is, although other names contain it; anything else as by `wildcard`."""
    return text if text and catalogue.items(kind, text) else wildcard(text or None)


def is_pattern(text: str) -> bool:
    return any(char in text for char in "*?[")
