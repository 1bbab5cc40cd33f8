"""What is installed: plugins, the items that they registered, and the lookup of an item by name.

Light to import, so that `zoo list` can read a catalogue that was written before (`zoo.registry.snapshot`) without
pydantic, pluggy or any plugin.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from zoo.errors import OWN_CODE, PluginError, UnknownNameError, UsageError, ZooError
from zoo.support.formatting import plural

if TYPE_CHECKING:
    from zoo import api

S = TypeVar("S", bound="api.Spec")
State = Literal["ok", "disabled", "conflict", "incompatible", "broken"]
KINDS = (
    "architecture",
    "family",
    "dataset",
    "task",
    "adaptation",
    "recipe",
    "exporter",
    "metric",
    "augmentation",
    "command",
)
"""Kinds of items that a plugin may register."""
LOCAL = "local"
"""The namespace of what this process registered itself (`zoo.register`, ``zoo.run(model=…, data=…)``)."""
TYPO = 0.8
"""Likeness from which on an unknown name is taken for a misspelt one, and not for an item of a plugin that is
disabled."""


@dataclass
class Plugin:
    """One entry point and what came of it. ``cause`` says why it is not ok; ``specs`` are its items by kind.

    ``contract`` is the version of `zoo.api` that it states; ``note`` is something about it that should be repaired;
    ``warnings`` name what its registration changed in the process. ``objects`` are found under their reference in place
    of what would be imported.
    """

    namespace: str
    distribution: str
    version: str
    module: str
    state: State = "ok"
    cause: str | None = None
    specs: dict[str, list[Any]] = field(default_factory=dict)
    contract: str | None = None
    note: str | None = None
    warnings: list[str] = field(default_factory=list)
    objects: dict[str, Any] = field(default_factory=dict)

    @property
    def provides(self) -> str:
        """The number of items of each kind, in words."""
        counts = ", ".join(plural(len(specs), kind) for kind, specs in self.specs.items())
        return counts or ("event hooks only" if self.state == "ok" else "–")

    def unavailable(self, what: str = "", fix: str = "see `zoo plugins`") -> PluginError:
        """The error for something that needs this plugin, which is not ok: ``what`` is not possible, and why.

        ``fix`` stands where the cause names none of its own.
        """
        cause, _, own = (self.cause or "").partition("; fix: ")
        if self.state == "disabled":
            fix = f"take {self.namespace} out of ZOO_DISABLE_PLUGINS"
        start = f"{what}: " if what else ""
        return PluginError(
            f"{start}plugin '{self.namespace}' is {self.state}: {cause}", where=self.distribution, fix=own or fix
        )


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


class NotRemembered(Exception):
    """A catalogue that was read from a snapshot lacks this; the plugins have it."""


class Catalogue:
    """The items of the plugins. Lookups raise UnknownNameError, with the nearest names, or UsageError on a clash.

    ``names`` are the members of families, by the canonical name of the family; the members of others are asked for by
    `names_of`, only where nothing registered has the name. A family that cannot answer is as if it had no members, and
    is kept in ``faults``, by namespace.
    """

    def __init__(self, plugins: list[Plugin], names: Mapping[str, Iterable[str]] | None = None) -> None:
        self.plugins = plugins
        self.local = Plugin(LOCAL, OWN_CODE, "", "__main__")
        self.faults: dict[str, PluginError] = {}
        self.names: dict[str, frozenset[str]] = {key: frozenset(value) for key, value in (names or {}).items()}
        self._items: dict[str, list[Item[Any]]] = {kind: [] for kind in KINDS}
        for plugin in plugins:
            for kind, specs in plugin.specs.items():
                self._items[kind].extend(Item(kind, spec, plugin) for spec in specs)

    def register(self, kind: str, spec: api.Spec, objects: Mapping[str, Any] | None = None) -> Item[Any]:
        """Add an item of this process as ``local/NAME``, in place of an earlier one of its kind and name.

        ``objects`` are the Python objects behind references of the spec.
        """
        item: Item[Any] = Item(kind, spec, self.local)
        self._items[kind] = [each for each in self._items[kind] if each.canonical != item.canonical] + [item]
        self.local.objects.update(objects or {})
        return item

    def names_of(self, key: str, family: Item[api.FamilySpec]) -> frozenset[str]:
        """The members of a family that is not in ``names``. Raises PluginError."""
        raise NotRemembered(key)

    def described(self, member: Member) -> Item[api.ArchitectureSpec]:
        """The architecture that a member is. Raises PluginError."""
        raise NotRemembered(member.canonical)

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
        if isinstance(found[0], Member):
            return self.described(found[0])
        return found[0]

    def _members_called(self, name: str) -> list[Member]:
        namespace, slash, bare = name.rpartition("/")
        asked = [family for family in self._items["family"] if not slash or family.plugin.namespace == namespace]
        return [Member(bare, family) for family in asked if bare in self._names_of(family)]

    def _names_of(self, family: Item[api.FamilySpec]) -> frozenset[str]:
        key = f"{family.plugin.namespace}/{family.spec.name}"
        if key not in self.names:
            try:
                self.names[key] = self.names_of(key, family)
            except PluginError as error:
                self.names[key], self.faults[family.plugin.namespace] = frozenset(), error
        return self.names[key]

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
