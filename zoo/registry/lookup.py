"""The registry of this process: what the installed plugins registered, discovered once."""

from __future__ import annotations

import functools
from importlib import metadata

import pluggy

from zoo import api
from zoo.registry import families
from zoo.registry.catalogue import Catalogue, Item, Member, Plugin
from zoo.registry.discovery import discover
from zoo.registry.event_delivery import ListenerFault, deliver, has_listeners
from zoo.registry.plugin_calls import calls_of, changes_reported, faults_named, in_plugin, load_object, options_model

__all__ = [
    "Item",
    "Member",
    "Registry",
    "calls_of",
    "changes_reported",
    "core_version",
    "faults_named",
    "in_plugin",
    "load_object",
    "options_model",
    "registry",
]


class Registry(Catalogue):
    """Everything the working plugins registered, and the plugins themselves: families are asked for their members, and
    events are sent."""

    def __init__(self, plugins: list[Plugin], events: pluggy.PluginManager) -> None:
        super().__init__(plugins)
        self._events = events

    def names_of(self, key: str, family: Item[api.FamilySpec]) -> frozenset[str]:
        return families.names_of(key, family)

    def described(self, member: Member) -> Item[api.ArchitectureSpec]:
        return families.described(member)

    def listens(self, kind: type[api.Event]) -> bool:
        """Whether a plugin implements the hook of this kind of event: where none does, the event need not be built."""
        return has_listeners(self._events, kind)

    def send(self, event: api.Event) -> list[ListenerFault]:
        """Give an event to every plugin that implements its hook; returns what went wrong in them."""
        return deliver(self._events, event)


@functools.cache
def registry() -> Registry:
    """The registry of this process, discovered once."""
    return Registry(*discover())


def core_version() -> str:
    return metadata.version("torch-zoo")
