"""The registry: looks up what the plugins registered, by bare or qualified name, and imports what a spec names."""

from __future__ import annotations

import fnmatch
import functools
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Generic, TypeVar

import pluggy

from zoo import api
from zoo.discovery import HOOKS, Plugin, discover
from zoo.errors import PluginError, UnknownNameError, UsageError, ZooError

S = TypeVar("S", bound=api.Spec)


@dataclass(frozen=True)
class Item(Generic[S]):
    """A registered spec and where it comes from; ``canonical`` is ``namespace/name``."""

    kind: str
    spec: S
    plugin: Plugin

    @property
    def canonical(self) -> str:
        return f"{self.plugin.namespace}/{self.spec.name}"


class Registry:
    """Everything the working plugins registered. Lookups raise UnknownNameError, with the nearest names, or PluginError on a clash."""

    def __init__(self, plugins: list[Plugin], events: pluggy.PluginManager) -> None:
        self.plugins = plugins
        self._events = events
        self._items: dict[str, list[Item[Any]]] = {kind: [] for kind in HOOKS}
        for plugin in plugins:
            for kind, specs in plugin.specs.items():
                self._items[kind].extend(Item(kind, spec, plugin) for spec in specs)

    def items(self, kind: str, pattern: str = "*", namespace: str | None = None) -> list[Item[Any]]:
        """Items of a kind, sorted by name, whose bare or canonical name matches a shell ``pattern``."""
        wanted = [
            item
            for item in self._items[kind]
            if (namespace is None or item.plugin.namespace == namespace)
            and (fnmatch.fnmatchcase(item.spec.name, pattern) or fnmatch.fnmatchcase(item.canonical, pattern))
        ]
        return sorted(wanted, key=lambda item: (item.spec.name, item.plugin.namespace))

    def architecture(self, name: str) -> Item[api.ArchitectureSpec]:
        return self._find("architecture", name)

    def dataset(self, name: str) -> Item[api.DatasetSpec]:
        return self._find("dataset", name)

    def task(self, name: str) -> Item[api.TaskSpec]:
        return self._find("task", name)

    def recipe(self, name: str) -> Item[api.RecipeSpec]:
        return self._find("recipe", name)

    def exporter(self, name: str) -> Item[api.ExporterSpec]:
        return self._find("exporter", name)

    def find_any(self, name: str) -> list[Item[Any]]:
        """Items of every kind under that name; raises UnknownNameError where there are none."""
        found = [item for kind in self._items for item in self._matching(kind, name)]
        if not found:
            raise self._unknown("item", name, self._items)
        return found

    def runnable(self, name: str) -> Item[Any]:
        """The recipe of that name or, where there is none, the architecture."""
        for kind in ("recipe", "architecture"):
            if self._matching(kind, name):
                return self._find(kind, name)
        raise self._unknown("recipe", name, ("recipe", "architecture"))

    def _matching(self, kind: str, name: str) -> list[Item[Any]]:
        return [item for item in self._items[kind] if name in (item.spec.name, item.canonical)]

    def _find(self, kind: str, name: str) -> Item[Any]:
        found = self._matching(kind, name)
        if len(found) > 1:
            owners = " and ".join(item.plugin.distribution for item in found)
            raise UsageError(f"{kind} '{name}' is ambiguous: {owners} have one", fix=f"say {' or '.join(item.canonical for item in found)}")
        if not found:
            raise self._unknown(kind, name, (kind,))
        return found[0]

    def _unknown(self, kind: str, name: str, kinds: Iterable[str]) -> ZooError:
        namespace = name.partition("/")[0] if "/" in name else None
        faulty = [plugin for plugin in self.plugins if plugin.state != "ok"]
        for plugin in faulty:
            if plugin.namespace == namespace:
                return PluginError(
                    f"'{name}' is not available: plugin '{plugin.namespace}' is {plugin.state}: {plugin.cause}",
                    where=plugin.distribution,
                    fix="see `zoo plugins`",
                )
        known = [item.canonical if namespace else item.spec.name for each in kinds for item in self._items[each]]
        hint = f"; {len(faulty)} plugin(s) could not be loaded, see `zoo plugins`" if faulty else ""
        error = UnknownNameError(kind, name, known)
        return UnknownNameError(kind, name, known, fix=f"{error.fix}{hint}") if hint else error

    def tell(self, event: str, **facts: Any) -> list[str]:
        """Call an event hook of every plugin, one by one; returns a line for each that raised."""
        complaints = []
        for implementation in getattr(self._events.hook, event).get_hookimpls():
            try:
                implementation.function(**{name: facts[name] for name in implementation.argnames})
            except Exception as error:
                complaints.append(f"plugin '{implementation.plugin_name}' failed at {event}: {type(error).__name__}: {error}")
        return complaints


@functools.cache
def registry() -> Registry:
    """The registry of this process, discovered once."""
    return Registry(*discover())


def load_object(reference: str, item: Item[Any]) -> Any:
    """Import ``"module:attribute"`` for an item; raises PluginError naming the plugin and the cause."""
    module, _, attribute = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may also call sys.exit() while it is imported
        raise PluginError(
            f"{item.kind} '{item.canonical}' could not be loaded: {type(error).__name__}: {error}",
            where=reference,
            fix=f"report it to the authors of {item.plugin.distribution}",
        ) from error


def options_model(item: Item[Any]) -> type[api.Options]:
    """The model of an item's options; an empty one where it has none."""
    reference = getattr(item.spec, "options", None)
    if reference is None:
        return api.Options
    model = load_object(reference, item)
    if not (isinstance(model, type) and issubclass(model, api.Options)):
        raise PluginError(f"the options of {item.kind} '{item.canonical}' are no zoo.api.Options", where=reference, fix="derive the model from it")
    return model


def core_version() -> str:
    return metadata.version("torch-zoo")
