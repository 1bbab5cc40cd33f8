"""Checks of plugins: their state, and whether their implementations can be imported."""

from __future__ import annotations

from collections.abc import Iterator

from zoo.doctor.finding import Finding
from zoo.errors import PluginError
from zoo.registry.discovery import HOOKS
from zoo.registry.lookup import load_object, options_model, registry
from zoo.support.formatting import many


def states() -> Iterator[Finding]:
    for plugin in registry().plugins:
        gives = {many(kind): [spec.name for spec in specs] for kind, specs in plugin.specs.items()}
        facts = {"state": plugin.state, "distribution": plugin.distribution, "version": plugin.version, "gives": gives}
        origin = f"{plugin.distribution} {plugin.version}"
        match plugin.state:
            case "ok":
                yield Finding(plugin.namespace, "ok", f"{origin}: {plugin.provides}", facts=facts)
            case "disabled":
                yield Finding(plugin.namespace, "info", f"{origin}: disabled, {plugin.cause}", facts=facts)
            case _:
                cause, _, fix = (plugin.cause or "").partition("; fix: ")
                fix = fix or f"repair or uninstall {plugin.distribution}, or set ZOO_DISABLE_PLUGINS={plugin.namespace}"
                yield Finding(plugin.namespace, "problem", f"{origin} is {plugin.state}: {cause}", fix, facts)


def implementations() -> Iterator[Finding]:
    """Import the implementation of every item, and list the families, because a valid spec may have a broken module."""
    items = [item for kind in HOOKS for item in registry().items(kind)]
    broken = 0
    for item in items:
        try:
            if item.spec.implementation is not None:
                load_object(item.spec.implementation, item)
            options_model(item)
        except PluginError as error:
            broken += 1
            yield Finding(item.canonical, "problem", f"{error.what} ({error.where})", error.fix, {"kind": item.kind})
    members = registry().members()
    for namespace, fault in registry().faults.items():
        broken += 1
        yield Finding(f"{namespace}/*", "problem", f"{fault.what} ({fault.where})", fault.fix, {"kind": "family"})
    if not broken:
        yield Finding(
            "components",
            "ok",
            f"{len(items)}; all can be imported",
            facts={"items": len(items), "members": len(members)},
        )
