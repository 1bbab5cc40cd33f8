"""The registered metrics that a configuration names in ``train.metrics``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from zoo.api import Metric, MetricSpec
from zoo.config.validation_errors import explain
from zoo.contract.targets import Target
from zoo.errors import ConfigError, PluginError, UsageError, ZooError, report_to
from zoo.registry.lookup import Item, Registry, calls_of, load_object, options_model
from zoo.registry.plugin_isolation import describe
from zoo.support.formatting import quoted

WHERE = "train.metrics"
Entry = str | Mapping[str, Mapping[str, Any]]
"""A name, or a name with its options: ``{"top_k": {"k": 3}}``."""


def find_metrics(registry: Registry, entries: Sequence[Entry], kind: str) -> dict[str, Item[MetricSpec]]:
    """Return the metrics of ``entries`` by reported name: the short name, or ``namespace/name`` if two share it.

    Does not import plugin implementations. Raises UnknownNameError, or UsageError if a metric is given twice or does
    not accept targets of ``kind``.
    """
    items = [registry.metric(_split(entry)[0]) for entry in entries]
    names = [item.canonical for item in items]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"metric '{twice}' is given twice", where=WHERE, fix="keep one of them")
    for item in items:
        if kind not in item.spec.accepts:
            raise UsageError(
                f"metric '{item.canonical}' needs targets of kind {quoted(item.spec.accepts)}, but the data has "
                f"{quoted([kind])}",
                where=WHERE,
                fix="remove it, or choose another (see `zoo list metrics`)",
            )
    bare = [item.spec.name for item in items]
    return {item.spec.name if bare.count(item.spec.name) == 1 else item.canonical: item for item in items}


def build_metrics(registry: Registry, entries: Sequence[Entry], target: Target) -> dict[str, Metric]:
    """Build a new metric for each of ``entries``, by reported name.

    Raises the errors of `find_metrics`, ConfigError for invalid options, and PluginError if a metric cannot be built.
    """
    found = find_metrics(registry, entries, target.kind)
    options = [_split(entry)[1] for entry in entries]
    return {name: _build(item, given, target) for (name, item), given in zip(found.items(), options, strict=True)}


def _split(entry: Entry) -> tuple[str, Mapping[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise UsageError(f"{entry!r:.60} is not a metric", where=WHERE, fix="write NAME, or NAME: {OPTION: VALUE}")
    ((name, options),) = entry.items()
    return name, options or {}


def _build(item: Item[MetricSpec], given: Mapping[str, Any], target: Target) -> Metric:
    model = options_model(item)
    try:
        options = model.model_validate(dict(given))
    except ValidationError as error:
        raise ConfigError(explain(error, model, f"{WHERE}.{item.spec.name}.")) from error
    build = load_object(item.spec.target, item)
    try:
        with calls_of([item], "its construction"):
            metric = build(options, target)
    except ZooError:
        raise
    except Exception as error:
        raise _fault(item, f"could not be built: {describe(error)}") from error
    if not isinstance(metric, Metric):
        raise _fault(item, f"is a {type(metric).__name__} without update(preds, target) and compute()")
    return metric


def _fault(item: Item[MetricSpec], what: str) -> PluginError:
    return PluginError(
        f"metric '{item.canonical}' {what}",
        where=item.spec.target,
        fix=report_to(item.plugin.distribution),
    )
