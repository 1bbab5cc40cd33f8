"""Finding plugins: one entry point at a time, each in its own try, so that a faulty one is reported and the others go
on working."""

from __future__ import annotations

import importlib
import importlib.util
import json
import types
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlparse

import pluggy

from zoo import api, hookspecs
from zoo.errors import PluginError, nearest
from zoo.registry.core_commands import COMMANDS
from zoo.registry.plugin_isolation import contained, describe, isolated
from zoo.support.paths import setting
from zoo.support.progress import announce

CORE = "torch-zoo"
GROUP = "zoo"
HOOKS: dict[str, tuple[str, type[api.Spec]]] = {
    "architecture": ("zoo_register_architectures", api.ArchitectureSpec),
    "family": ("zoo_register_families", api.FamilySpec),
    "dataset": ("zoo_register_datasets", api.DatasetSpec),
    "task": ("zoo_register_tasks", api.TaskSpec),
    "recipe": ("zoo_register_recipes", api.RecipeSpec),
    "exporter": ("zoo_register_exporters", api.ExporterSpec),
    "augmentation": ("zoo_register_augmentations", api.AugmentationSpec),
    "command": ("zoo_register_commands", api.CommandSpec),
}
"""What a plugin may register, by kind: the hook that gives it and the spec it must be."""

State = Literal["ok", "disabled", "conflict", "incompatible", "broken"]


@dataclass
class Plugin:
    """One entry point and what came of it. ``cause`` says why it is not ok; ``specs`` are its items by kind."""

    namespace: str
    distribution: str
    version: str
    module: str
    state: State = "ok"
    cause: str | None = None
    specs: dict[str, list[api.Spec]] = field(default_factory=dict)


class Refused(Exception):
    """Why a plugin is not taken; ``state`` is what it becomes."""

    def __init__(self, state: State, cause: str) -> None:
        super().__init__(cause)
        self.state: State = state


def discover(entry_points: Iterable[metadata.EntryPoint] | None = None) -> tuple[list[Plugin], pluggy.PluginManager]:
    """Every plugin that is installed, sorted by namespace, and the manager that holds the working ones (for events).

    Raises PluginError for the first faulty plugin where ``ZOO_STRICT_PLUGINS=1``.
    """
    found = sorted(
        metadata.entry_points(group=GROUP) if entry_points is None else entry_points,
        key=lambda point: (point.name, _distribution(point), point.value),
    )
    disabled = {name.strip() for name in setting("ZOO_DISABLE_PLUGINS").split(",") if name.strip()}
    _tell_misspelt(disabled, sorted({point.name for point in found}))
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    claims = Counter(point.name for point in found)
    first_party = {point.name for point in found if _distribution(point) == CORE}
    plugins = []
    for point in found:
        plugin = Plugin(point.name, _distribution(point), _version(point), point.value)
        try:
            if point.name in disabled:
                raise Refused("disabled", "named in ZOO_DISABLE_PLUGINS")
            _refuse_conflict(point, claims, first_party, found)
            _refuse_incompatible(point)
            with isolated(point.name, "its registration", _warn, draws=False):
                plugin.specs = _load(point, manager)
        except Refused as refusal:
            plugin.state, plugin.cause = refusal.state, str(refusal)
        except Exception as error:  # what its distribution says of itself cannot be read
            plugin.state, plugin.cause = "broken", f"its metadata cannot be read: {describe(error)}"
        plugins.append(plugin)
    if setting("ZOO_STRICT_PLUGINS") == "1":
        _raise_first_fault(plugins)
    return plugins, manager


def _tell_misspelt(disabled: set[str], known: list[str]) -> None:
    """A name in ``ZOO_DISABLE_PLUGINS`` that is no plugin's disables nothing, which is said."""
    for name in sorted(disabled - set(known)):
        near = nearest(name, known, count=1)
        advice = f"did you mean {near[0]}?" if near else f"the plugins are {', '.join(known) or 'none'}"
        announce(f"warning: ZOO_DISABLE_PLUGINS names '{name}', and no plugin is called that; {advice}")


def _raise_first_fault(plugins: list[Plugin]) -> None:
    for plugin in plugins:
        if plugin.state not in ("ok", "disabled"):
            raise PluginError(
                f"plugin '{plugin.namespace}' is {plugin.state}: {plugin.cause}",
                where=plugin.distribution,
                fix="repair or uninstall it, or unset ZOO_STRICT_PLUGINS",
            )


def _distribution(point: metadata.EntryPoint) -> str:
    return str(point.dist.metadata["Name"]) if point.dist else "unknown"


def _version(point: metadata.EntryPoint) -> str:
    return point.dist.version if point.dist else "unknown"


# ------------------------------------------------------------------------------------------ before anything is imported


def _refuse_conflict(
    point: metadata.EntryPoint, claims: Counter[str], first_party: set[str], found: list[metadata.EntryPoint]
) -> None:
    if point.name in COMMANDS:
        raise Refused(
            "conflict",
            f"`zoo {point.name}` is a command of the core; fix: {_distribution(point)} must name its entry point "
            "otherwise",
        )
    if claims[point.name] > 1 and not (point.name in first_party and _distribution(point) == CORE):
        others = sorted({_distribution(other) for other in found if other.name == point.name} - {_distribution(point)})
        owner = f"'{point.name}' is reserved for {CORE}" if point.name in first_party else "both claim the name"
        names = " and ".join([_distribution(point), *others])
        raise Refused(
            "conflict", f"{names}: {owner} '{point.name}'" if point.name not in first_party else f"{names}: {owner}"
        )
    if point.dist is None:
        return
    module = point.module.partition(".")[0]
    found_spec = importlib.util.find_spec(module)
    if found_spec is None or found_spec.origin is None:
        return  # importing it will say what is wrong
    if not _owns(point.dist, Path(found_spec.origin)):
        raise Refused(
            "conflict",
            f"module '{module}' is imported from {found_spec.origin}, which {_distribution(point)} did not install",
        )


def _owns(distribution: metadata.Distribution, origin: Path) -> bool:
    """Whether a file belongs to a distribution: it is in its RECORD or, where that is an editable install, in its
    project's folder."""
    direct = json.loads(distribution.read_text("direct_url.json") or "{}")
    if direct.get("dir_info", {}).get("editable"):
        project, installed = (
            Path(unquote(urlparse(direct["url"]).path)).resolve(),
            Path(str(distribution.locate_file(""))).resolve(),
        )
        # A virtual environment inside the project's folder is not the project: what other wheels put there is not its
        # own.
        return origin.resolve().is_relative_to(project) and not origin.resolve().is_relative_to(installed)
    files = distribution.files
    if files is None:
        return True  # a distribution without a RECORD cannot tell
    wanted = origin.resolve()
    return any(file.name == wanted.name and Path(str(file.locate())).resolve() == wanted for file in files)


def _refuse_incompatible(point: metadata.EntryPoint) -> None:
    for line in (point.dist.requires or []) if point.dist else []:
        if not line.lower().replace("_", "-").startswith(CORE):
            continue
        from packaging.requirements import Requirement

        required, here = Requirement(line), metadata.version(CORE)
        if required.name.lower().replace("_", "-") != CORE or (
            required.marker and not required.marker.evaluate({"extra": ""})
        ):
            continue
        if not required.specifier.contains(here, prereleases=True):
            raise Refused("incompatible", f"asks for {CORE}{required.specifier}, and {here} is installed")


# ------------------------------------------------------------------------------------------------------- import and ask


def _load(point: metadata.EntryPoint, manager: pluggy.PluginManager) -> dict[str, list[api.Spec]]:
    try:
        with contained():
            module = importlib.import_module(point.module)
    except Exception as error:
        raise Refused("broken", f"importing {point.module} raised {describe(error)}") from error
    _refuse_misspelt_hooks(module)
    try:
        manager.register(module, name=point.name)
        specs = {kind: _ask(manager, module, hook, expected) for kind, (hook, expected) in HOOKS.items()}
    except pluggy.PluginValidationError as error:
        _unregister(manager, point.name)
        raise Refused("broken", " ".join(str(error).split())) from error
    except Refused:
        _unregister(manager, point.name)
        raise
    return {kind: items for kind, items in specs.items() if items}


def _warn(text: str) -> None:
    announce(f"warning: {text}")


def _unregister(manager: pluggy.PluginManager, name: str) -> None:
    if manager.has_plugin(name):
        manager.unregister(name=name)


def _refuse_misspelt_hooks(module: types.ModuleType) -> None:
    known = [name for name in vars(hookspecs) if name.startswith("zoo_")]
    for name, value in vars(module).items():
        if not name.startswith("zoo_") or isinstance(value, types.ModuleType) or not callable(value):
            continue
        if name not in known:
            near = nearest(name, known, count=1)
            raise Refused("broken", f"{name} is no hook of the zoo" + (f"; did you mean {near[0]}?" if near else ""))
        options = getattr(value, "zoo_impl", None)
        if options is None:
            raise Refused("broken", f"{name} is not marked; put @zoo.api.hookimpl above it")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise Refused("broken", f"{name} is a hook wrapper, which the zoo does not take; drop wrapper=True")


def _ask(
    manager: pluggy.PluginManager, module: types.ModuleType, hook: str, expected: type[api.Spec]
) -> list[api.Spec]:
    implementation = _implementation(manager, module, hook)
    if implementation is None:
        return []
    try:
        with contained():
            answer: Any = implementation()
            items = list(answer)
    except Exception as error:
        raise Refused("broken", f"{hook} raised {describe(error)}") from error
    for item in items:
        if not isinstance(item, expected):
            raise Refused(
                "broken", f"{hook} returned {type(item).__name__} {item!r:.60} where {expected.__name__} is due"
            )
    twice = [name for name, count in Counter(item.name for item in items).items() if count > 1]
    if twice:
        raise Refused("broken", f"{hook} returned '{twice[0]}' twice")
    return items


def _implementation(manager: pluggy.PluginManager, module: types.ModuleType, hook: str) -> Callable[[], object] | None:
    for candidate in getattr(manager.hook, hook).get_hookimpls():
        if candidate.plugin is module:
            return candidate.function  # type: ignore[no-any-return]
    return None
