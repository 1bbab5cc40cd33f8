"""``zoo.list_architectures()`` and its siblings: canonical names, sorted by bare ones, filtered by a shell pattern."""

from __future__ import annotations

from zoo.registry.lookup import registry


def list_architectures(pattern: str = "*") -> list[str]:
    """Those that are registered, then the members of families."""
    return [*_names("architecture", pattern), *(member.canonical for member in registry().members(pattern))]


def list_datasets(pattern: str = "*") -> list[str]:
    return _names("dataset", pattern)


def list_tasks(pattern: str = "*") -> list[str]:
    return _names("task", pattern)


def list_recipes(pattern: str = "*") -> list[str]:
    return _names("recipe", pattern)


def list_exporters(pattern: str = "*") -> list[str]:
    return _names("exporter", pattern)


def list_metrics(pattern: str = "*") -> list[str]:
    return _names("metric", pattern)


def _names(kind: str, pattern: str) -> list[str]:
    return [item.canonical for item in registry().items(kind, pattern)]
