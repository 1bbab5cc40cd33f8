"""The registry: looks up what the plugins registered, by bare or qualified name, and imports what a spec names."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

import pluggy

from zoo import api
from zoo.errors import PluginError, UnknownNameError, UsageError, ZooError
from zoo.registry.discovery import HOOKS, Plugin, discover
from zoo.registry.event_delivery import ListenerFault, deliver, has_listeners
from zoo.registry.family_cache import listed
from zoo.registry.plugin_isolation import Escaped, describe, isolated
from zoo.support.progress import announce

S = TypeVar("S", bound=api.Spec)
TYPO = 0.8
"""Likeness from which on an unknown name is taken for a misspelt one, and not for an item of a plugin that is
disabled."""


@dataclass(frozen=True)
class Item(Generic[S]):
    """A registered spec and where it comes from; ``canonical`` is ``namespace/name``."""

    kind: str
    spec: S
    plugin: Plugin

    @property
    def canonical(self) -> str:
        return f"{self.plugin.namespace}/{'*' if self.kind == 'family' else self.spec.name}"


@dataclass(frozen=True)
class Member:
    """An architecture of a family of which nothing has been asked yet but its name."""

    name: str
    family: Item[api.FamilySpec]

    @property
    def canonical(self) -> str:
        return f"{self.family.plugin.namespace}/{self.name}"


class Registry:
    """Everything the working plugins registered.

    Lookups raise UnknownNameError, with the nearest names, or UsageError on a clash.

    Families are asked only where nothing registered has the name. One that cannot answer is as if it had no members,
    and is kept in ``faults``, by namespace.
    """

    def __init__(self, plugins: list[Plugin], events: pluggy.PluginManager) -> None:
        self.plugins = plugins
        self._events = events
        self.faults: dict[str, PluginError] = {}
        self._names: dict[str, frozenset[str]] = {}
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

    def members(self, pattern: str = "*", namespace: str | None = None) -> list[Member]:
        """What families have under a bare or canonical name that matches, sorted by name.

        Nothing is imported that has to do with networks.
        """
        wanted = [
            member
            for family in self._items["family"]
            if namespace in (None, family.plugin.namespace)
            for member in (Member(name, family) for name in self._names_of(family))
            if fnmatch.fnmatchcase(member.name, pattern) or fnmatch.fnmatchcase(member.canonical, pattern)
        ]
        return sorted(wanted, key=lambda member: (member.name, member.canonical))

    def architecture(self, name: str) -> Item[api.ArchitectureSpec]:
        return self._find("architecture", name)

    def dataset(self, name: str) -> Item[api.DatasetSpec]:
        return self._find("dataset", name)

    def task(self, name: str) -> Item[api.TaskSpec]:
        return self._find("task", name)

    def adaptation(self, name: str) -> Item[api.AdaptationSpec]:
        return self._find("adaptation", name)

    def recipe(self, name: str) -> Item[api.RecipeSpec]:
        return self._find("recipe", name)

    def exporter(self, name: str) -> Item[api.ExporterSpec]:
        return self._find("exporter", name)

    def metric(self, name: str) -> Item[api.MetricSpec]:
        return self._find("metric", name)

    def augmentation(self, name: str) -> Item[api.AugmentationSpec]:
        return self._find("augmentation", name)

    def find_any(self, name: str) -> list[Item[Any]]:
        """Items of every kind under that name; raises UnknownNameError where there are none."""
        found = [item for kind in self._items for item in self._matching(kind, name)]
        return found or [self._find("architecture", name, otherwise=("item", tuple(self._items)))]

    def runnable(self, name: str) -> Item[Any]:
        """The recipe of that name or, where there is none, the architecture or the task."""
        kind = next((each for each in ("recipe", "architecture", "task") if self._matching(each, name)), "architecture")
        return self._find(kind, name, otherwise=("recipe", ("recipe", "architecture", "task")))

    def short_name(self, item: Item[Any]) -> str:
        """The bare name where no other item of its kind has it, else ``namespace/name``; of a family,
        ``namespace/*``."""
        name: str = item.spec.name
        return item.canonical if item.kind == "family" or len(self._matching(item.kind, name)) > 1 else name

    def _matching(self, kind: str, name: str) -> list[Item[Any]]:
        return [item for item in self._items[kind] if name in (item.spec.name, item.canonical)]

    def _find(self, kind: str, name: str, otherwise: tuple[str, tuple[str, ...]] | None = None) -> Item[Any]:
        """``otherwise`` is what was sought, in words, and the kinds it may be of, where that is more than this kind."""
        found: list[Item[Any]] | list[Member] = self._matching(kind, name)
        if not found and kind == "architecture":
            found = self._members_called(name)
        if not found:
            raise self._unknown(name, *(otherwise or (kind, (kind,))))
        if len(found) > 1:
            plugins = [item.family.plugin if isinstance(item, Member) else item.plugin for item in found]
            owners = " and ".join(f"{plugin.namespace} ({plugin.distribution})" for plugin in plugins)
            raise UsageError(
                f"{kind} '{name}' is ambiguous: {owners} have one",
                fix=f"say {' or '.join(item.canonical for item in found)}",
            )
        return _described(found[0]) if isinstance(found[0], Member) else found[0]

    def _members_called(self, name: str) -> list[Member]:
        namespace, slash, bare = name.rpartition("/")
        asked = [family for family in self._items["family"] if not slash or family.plugin.namespace == namespace]
        return [Member(bare, family) for family in asked if bare in self._names_of(family)]

    def _names_of(self, family: Item[api.FamilySpec]) -> frozenset[str]:
        key = f"{family.plugin.namespace}/{family.spec.name}"
        if key not in self._names:
            try:
                self._names[key] = frozenset(
                    listed(key, f"{family.plugin.distribution} {family.plugin.version}", _family(family))
                )
            except Exception as error:
                self._names[key] = frozenset()
                blamed = (
                    error
                    if isinstance(error, PluginError)
                    else _blame(family, "could not be listed", error, family.spec.target)
                )
                self.faults[family.plugin.namespace] = blamed
        return self._names[key]

    def _unknown(self, name: str, kind: str, kinds: Iterable[str]) -> ZooError:
        namespace = name.partition("/")[0] if "/" in name else None
        faulty = [plugin for plugin in self.plugins if plugin.state != "ok"]
        for plugin in faulty:
            if plugin.namespace == namespace:
                return plugin.unavailable(f"'{name}' is not available")
        if namespace in self.faults:
            return self.faults[namespace]
        known = [item.canonical if namespace else item.spec.name for each in kinds for item in self._items[each]]
        if "architecture" in kinds:
            known += [member.canonical if namespace else member.name for member in self.members()]
        disabled = [plugin.namespace for plugin in faulty if plugin.state == "disabled"]
        if disabled and not namespace and not difflib.get_close_matches(name, known, cutoff=TYPO):
            owners = f"plugin{'s' * (len(disabled) > 1)} {' and '.join(disabled)}"
            return PluginError(
                f"no {kind} is called '{name}' in the plugins that are loaded, and ZOO_DISABLE_PLUGINS keeps {owners} "
                "out",
                fix=f"take {' or '.join(disabled)} out of ZOO_DISABLE_PLUGINS",
            )
        hint = f"; {len(faulty)} plugin(s) could not be loaded, see `zoo plugins`" if faulty else ""
        takers = (
            [self.short_name(item) for item in self._items[kind] if item.spec.path_option]
            if kind == "dataset" and Path(name).exists()
            else []
        )
        if takers:
            advice = " or ".join(f"{taker}:{name}" for taker in takers)
            return UnknownNameError(
                kind, name, (), fix=f"a path goes behind the name of a dataset that takes one: {advice}"
            )
        error = UnknownNameError(kind, name, known)
        return UnknownNameError(kind, name, known, fix=f"{error.fix}{hint}") if hint else error

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


def _family(item: Item[api.FamilySpec]) -> api.Family:
    family: api.Family = load_object(item.spec.target, item)
    return family


def _described(member: Member) -> Item[api.ArchitectureSpec]:
    """What its family says of a member. Raises PluginError where that is no spec of this name."""
    family = _family(member.family)
    try:
        with in_plugin(member.family, f"describing {member.name}"):
            spec = family.spec(member.name)
    except Exception as error:
        raise _blame(member.family, f"could not describe '{member.name}'", error, member.family.spec.target) from error
    if not isinstance(spec, api.ArchitectureSpec) or spec.name != member.name:
        wrong = TypeError(f"an ArchitectureSpec of that name is due, not {spec!r:.60}")
        raise _blame(member.family, f"could not describe '{member.name}'", wrong, member.family.spec.target)
    return Item("architecture", spec, member.family.plugin)


def load_object(reference: str, item: Item[Any]) -> Any:
    """Import ``"module:attribute"`` for an item; raises PluginError naming the plugin and the cause."""
    module, _, attribute = reference.partition(":")
    try:
        with in_plugin(item, f"importing {module}"):
            return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise _blame(item, "could not be loaded", error, reference) from error


_report: ContextVar[Callable[[str], object] | None] = ContextVar("report", default=None)


@contextmanager
def changes_reported(report: Callable[[str], object]) -> Iterator[None]:
    """While it lasts, what plugins change in the process goes to ``report`` in place of stderr."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def _say(text: str) -> None:
    report = _report.get()
    if report is None:
        announce(f"warning: {text}")
    else:
        report(text)


def in_plugin(item: Item[Any], doing: str) -> AbstractContextManager[None]:
    """Around a call into the plugin that an item comes from; what it changed in the process is restored and named on
    stderr."""
    return isolated(item.plugin.namespace, doing, _say)


@contextmanager
def calls_of(items: Sequence[Item[Any]], doing: str, report: Callable[[str], object] | None = None) -> Iterator[None]:
    """Around work that calls ``items`` of plugins.

    Raises PluginError where one would have ended the command by SystemExit or KeyboardInterrupt; its other errors pass.
    What they changed in the process is restored and goes to ``report``, by default to stderr.
    """
    namespaces = ", ".join(dict.fromkeys(item.plugin.namespace for item in items))
    try:
        with isolated(namespaces, doing, report or _say):
            yield
    except Escaped as error:
        names = " or ".join(f"{item.kind} '{item.canonical}'" for item in items)
        distributions = " or ".join(dict.fromkeys(item.plugin.distribution for item in items))
        raise PluginError(
            f"{names} tried to end {doing}: {error}", fix=f"report it to the authors of {distributions}"
        ) from error


@contextmanager
def faults_named(item: Item[Any], what: str) -> Iterator[None]:
    """Around a call into a plugin: an error of its own is a PluginError that names it; ``what`` could not be done."""
    try:
        yield
    except (ZooError, MemoryError):
        raise
    except Exception as error:
        raise _blame(item, f"could not be {what}", error, str(item.spec.implementation)) from error


def _blame(item: Item[Any], what: str, error: BaseException, reference: str) -> PluginError:
    return PluginError(
        f"{item.kind} '{item.canonical}' {what}: {describe(error)}",
        where=reference,
        fix=f"report it to the authors of {item.plugin.distribution}",
    )


def options_model(item: Item[Any]) -> type[api.Options]:
    """The model of an item's options; an empty one where it has none."""
    reference = getattr(item.spec, "options", None)
    if reference is None:
        return api.Options
    model = load_object(reference, item)
    if not (isinstance(model, type) and issubclass(model, api.Options)):
        raise PluginError(
            f"the options of {item.kind} '{item.canonical}' are no zoo.api.Options",
            where=reference,
            fix="derive the model from it",
        )
    return model


def core_version() -> str:
    return metadata.version("torch-zoo")
