"""``zoo plugins``"""

from __future__ import annotations

from typing import Any

from zoo.cli.output import json_alone, note, plural, say, say_json, say_table
from zoo.cli.shared_options import AsJson
from zoo.registry.discovery import Plugin
from zoo.registry.lookup import registry
from zoo.support.formatting import many


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
