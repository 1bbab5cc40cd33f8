"""``zoo plugins``"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from typing import Any

from zoo.api import VERSION
from zoo.cli.output import json_alone, note, plural, say, say_json, say_table
from zoo.cli.shared_options import AsJson
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import registry
from zoo.support.formatting import many


def versions() -> Iterator[str]:
    """Lines for `zoo --version`: what a report of a fault should name."""
    yield f"zoo {metadata.version('torch-zoo')}, plugin contract {VERSION}"
    by_distribution: dict[str, list[str]] = {}
    for plugin in registry().plugins:
        name = plugin.namespace if plugin.state == "ok" else f"{plugin.namespace} ({plugin.state})"
        by_distribution.setdefault(f"{plugin.distribution} {plugin.version}", []).append(name)
    for distribution, names in by_distribution.items():
        yield f"plugins of {distribution}: {', '.join(names)}"


def plugins(as_json: AsJson = False) -> None:
    with json_alone(as_json):
        found = registry().plugins
    if as_json:
        say_json([as_dict(plugin) for plugin in found])
        return
    if not found:
        note("no plugin is installed")
        return
    rows = [
        [
            plugin.namespace,
            plugin.state,
            f"{plugin.distribution} {plugin.version}",
            plugin.contract or "–",
            plugin.module,
            _gifts(plugin),
        ]
        for plugin in found
    ]
    say_table(["plugin", "state", "from", "contract", "module", "gives"], rows, wide=5)
    for plugin in found:
        if plugin.state != "ok":
            say(f"{plugin.namespace}: {plugin.state}: {plugin.cause}")
        elif plugin.note is not None:
            say(f"{plugin.namespace}: note: {plugin.note}")


def as_dict(plugin: Plugin) -> dict[str, Any]:
    return {
        "namespace": plugin.namespace,
        "state": plugin.state,
        "cause": plugin.cause,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "contract": plugin.contract,
        "note": plugin.note,
        "module": plugin.module,
        "gives": {many(kind): [spec.name for spec in specs] for kind, specs in plugin.specs.items()},
    }


def _gifts(plugin: Plugin) -> str:
    return ", ".join(plural(len(specs), kind) for kind, specs in plugin.specs.items()) or "–"
