"""The kind of targets of a dataset whose options choose it, from its spec; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zoo.api import DatasetSpec
from zoo.config.item_options import options_of
from zoo.errors import PluginError, report_to
from zoo.registry.lookup import Item, calls_of, faults_named, load_object


def with_known_kind(item: Item[DatasetSpec], options: Mapping[str, Any]) -> Item[DatasetSpec]:
    """Return the dataset with the one kind of targets that ``options`` choose, or unchanged if its spec does not name a
    function for that, or if the kind is not known yet.

    Raises ConfigError for invalid options, DataError if the data is of no kind, PluginError for a kind that the spec
    lacks.
    """
    if item.spec.target_kind is None:
        return item
    find = load_object(item.spec.target_kind, item)
    given = options_of(item, options, "dataset")
    with calls_of([item], "finding the kind of the dataset's targets"), faults_named(item, "read"):
        kind = find(given)
    if kind is None:
        return item
    if kind not in item.spec.targets:
        raise PluginError(
            f"its targets are {kind!r}, but its spec has {' or '.join(item.spec.targets)}",
            where=item.canonical,
            fix=report_to(item.plugin.distribution),
        )
    return replace(item, spec=item.spec.model_copy(update={"targets": (kind,)}))
