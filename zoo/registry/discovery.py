"""Finding plugins: one entry point at a time, each in its own try, so that a faulty one is reported and the others go
on working."""

from __future__ import annotations

import importlib
import types
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

import pluggy

from zoo import api, hookspecs
from zoo.errors import nearest
from zoo.registry.catalogue import Plugin
from zoo.registry.contract_changes import ATTRIBUTE, incompatibility, old_arguments, renamed
from zoo.registry.distributions import (
    CORE,
    Refused,
    distribution_of,
    refuse_conflict,
    refuse_incompatible,
    version_of,
)
from zoo.registry.plugin_isolation import contained, describe, isolated
from zoo.support.paths import setting
from zoo.support.progress import announce

GROUP = "zoo"
HOOKS: dict[str, tuple[str, type[api.Spec]]] = {
    "architecture": ("zoo_register_architectures", api.ArchitectureSpec),
    "family": ("zoo_register_families", api.FamilySpec),
    "dataset": ("zoo_register_datasets", api.DatasetSpec),
    "task": ("zoo_register_tasks", api.TaskSpec),
    "adaptation": ("zoo_register_adaptations", api.AdaptationSpec),
    "recipe": ("zoo_register_recipes", api.RecipeSpec),
    "exporter": ("zoo_register_exporters", api.ExporterSpec),
    "metric": ("zoo_register_metrics", api.MetricSpec),
    "augmentation": ("zoo_register_augmentations", api.AugmentationSpec),
    "command": ("zoo_register_commands", api.CommandSpec),
}
"""What a plugin may register, by kind: the hook that gives it and the spec it must be."""


def discover(entry_points: Iterable[metadata.EntryPoint] | None = None) -> tuple[list[Plugin], pluggy.PluginManager]:
    """Every plugin that is installed, sorted by namespace, and the manager that holds the working ones (for events).

    Raises PluginError for the first faulty plugin where ``ZOO_STRICT_PLUGINS=1``.
    """
    found = sorted(
        metadata.entry_points(group=GROUP) if entry_points is None else entry_points,
        key=lambda point: (point.name, distribution_of(point), point.value),
    )
    disabled = {name.strip() for name in setting("ZOO_DISABLE_PLUGINS").split(",") if name.strip()}
    _tell_misspelt(disabled, sorted({point.name for point in found}))
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    claims = Counter(point.name for point in found)
    first_party = {point.name for point in found if distribution_of(point) == CORE}
    plugins = []
    for point in found:
        plugin = Plugin(point.name, distribution_of(point), version_of(point), point.value)
        try:
            if point.name in disabled:
                raise Refused("disabled", "named in ZOO_DISABLE_PLUGINS")
            refuse_conflict(point, claims, first_party, found)
            refuse_incompatible(point)
            with isolated(point.name, "its registration", plugin.warnings.append, draws=False):
                _load(plugin, point, manager)
        except Refused as refusal:
            plugin.state, plugin.cause = refusal.state, str(refusal)
        except Exception as error:  # what its distribution says of itself cannot be read
            plugin.state, plugin.cause = "broken", f"its metadata cannot be read: {describe(error)}"
        plugins.append(plugin)
        for text in plugin.warnings:
            announce(f"warning: {text}")
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
            raise plugin.unavailable(fix="repair or uninstall it, or unset ZOO_STRICT_PLUGINS")


# ------------------------------------------------------------------------------------------------------- import and ask


def _load(plugin: Plugin, point: metadata.EntryPoint, manager: pluggy.PluginManager) -> None:
    try:
        with contained():
            module = importlib.import_module(point.module)
    except Exception as error:
        raise _broken(plugin, f"importing {point.module} raised", error) from error
    _refuse_other_contract(plugin, getattr(module, ATTRIBUTE, None))
    _refuse_misspelt_hooks(plugin, module)
    try:
        manager.register(module, name=point.name)
        specs = {kind: _ask(plugin, manager, module, hook, expected) for kind, (hook, expected) in HOOKS.items()}
    except pluggy.PluginValidationError as error:
        _unregister(manager, point.name)
        raise Refused("broken", " ".join(str(error).split())) from error
    except Refused:
        _unregister(manager, point.name)
        raise
    plugin.specs = {kind: items for kind, items in specs.items() if items}


def _broken(plugin: Plugin, what: str, error: Exception) -> Refused:
    """What becomes of a plugin that raised: incompatible where it uses what contract 2.0 renamed, else broken."""
    changes = renamed(error)
    if changes is None:
        return Refused("broken", f"{what} {describe(error)}")
    return Refused("incompatible", _written_for_contract_1(plugin, changes))


def _written_for_contract_1(plugin: Plugin, changes: str) -> str:
    fix = f"upgrade {plugin.distribution} to a version for plugin API 2.x"
    return f"it was written for plugin API 1: {changes}; fix: {fix}"


def _refuse_other_contract(plugin: Plugin, stated: object) -> None:
    if stated is None:
        plugin.note = (
            f'it states no plugin API version, and {api.VERSION} is assumed; fix: {ATTRIBUTE} = "{api.VERSION}"'
        )
        plugin.note += f" in {plugin.module}"
        return
    try:
        fault = incompatibility(stated, api.VERSION, plugin.distribution, CORE)
    except ValueError as error:
        raise Refused("broken", str(error)) from error
    plugin.contract = str(stated)
    if fault is not None:
        raise Refused("incompatible", fault)


def _unregister(manager: pluggy.PluginManager, name: str) -> None:
    if manager.has_plugin(name):
        manager.unregister(name=name)


def _refuse_misspelt_hooks(plugin: Plugin, module: types.ModuleType) -> None:
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
        changes = old_arguments(name, value)
        if changes is not None:
            raise Refused("incompatible", _written_for_contract_1(plugin, changes))


def _ask(
    plugin: Plugin, manager: pluggy.PluginManager, module: types.ModuleType, hook: str, expected: type[api.Spec]
) -> list[api.Spec]:
    implementation = _implementation(manager, module, hook)
    if implementation is None:
        return []
    try:
        with contained():
            answer: Any = implementation()
            items = list(answer)
    except Exception as error:
        raise _broken(plugin, f"{hook} raised", error) from error
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
