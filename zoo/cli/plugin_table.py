"""What `zoo plugins` and `zoo --version` print; imports neither the parser nor a plugin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from zoo.cli.output import note, say, say_json, say_table
from zoo.registry.catalogue import Plugin
from zoo.support.formatting import many


def versions(core: str, contract: str, plugins: Sequence[Plugin]) -> Iterator[str]:
    """Lines for `zoo --version`: what a report of a fault should name."""
    yield f"zoo {core}, plugin API {contract}"
    by_distribution: dict[str, list[str]] = {}
    for plugin in plugins:
        name = plugin.namespace if plugin.state == "ok" else f"{plugin.namespace} ({plugin.state})"
        by_distribution.setdefault(f"{plugin.distribution} {plugin.version}", []).append(name)
    for distribution, names in by_distribution.items():
        yield f"plugins of {distribution}: {', '.join(names)}"


def print_plugins(found: Sequence[Plugin], *, as_json: bool) -> None:
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
            plugin.provides,
        ]
        for plugin in found
    ]
    say_table(["plugin", "state", "package", "API", "module", "provides"], rows, flexible=5)
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
