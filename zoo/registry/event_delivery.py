"""Giving an event to every plugin that listens, each isolated from the run and from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pluggy

from zoo.registry.plugin_isolation import describe, isolated

if TYPE_CHECKING:
    from zoo.contract.events import Event


class ListenerFault(NamedTuple):
    """A plugin raised at an event, or changed the state of the process; ``text`` is one line about it."""

    plugin: str
    hook: str
    text: str


def has_listeners(manager: pluggy.PluginManager, kind: type[Event]) -> bool:
    return bool(getattr(manager.hook, kind.hook).get_hookimpls())


def deliver(manager: pluggy.PluginManager, event: Event) -> list[ListenerFault]:
    """Call the event's hook of every plugin, one by one; a plugin that fails keeps it from none of the others."""
    faults: list[ListenerFault] = []
    for implementation in getattr(manager.hook, event.hook).get_hookimpls():
        name, lines = implementation.plugin_name, list[str]()
        given = {"event": event} if "event" in implementation.argnames else {}
        try:
            with isolated(name, event.hook, lines.append, draws=False):
                implementation.function(**given)
        except Exception as error:
            lines.append(f"plugin '{name}' failed at {event.hook}: {describe(error)}")
        faults += [ListenerFault(name, event.hook, line) for line in lines]
    return faults
