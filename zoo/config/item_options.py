"""Validation of the options of items, into the objects that their implementations receive."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError, create_model

from zoo.api import AdaptationSpec, Exporter, ExporterSpec, Options, TargetKind, TaskSpec
from zoo.config.validation_errors import explain, suggest_among
from zoo.errors import ConfigError, PluginError, UsageError, report_to
from zoo.registry.lookup import Item, Registry, load_object, options_model
from zoo.registry.plugin_calls import faults_named, in_plugin


def options_of(
    item: Item[Any], values: Mapping[str, Any], section: str | None = None, others: Collection[str] = ()
) -> Options:
    """Return the options of ``item``, validated against its model.

    ``section`` is their section of the configuration; ``others`` are further keys that are valid there. Raises
    ConfigError with a line for each unknown option (with the closest match) and each invalid value.
    """
    return checked(options_model(item), values, section or item.kind, others)


def checked(model: type[Options], values: Mapping[str, Any], section: str, others: Collection[str] = ()) -> Options:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        known = [*model.model_fields, *others]
        raise ConfigError([suggest_among(line, known) for line in explain(error, model, f"{section}.")]) from error


def default_task(
    registry: Registry, kinds: Sequence[TargetKind], adapted: Item[TaskSpec] | None = None
) -> Item[TaskSpec]:
    """Return the default task for the first of ``kinds`` that has one.

    ``adapted`` is the named task, if it is one made of adaptations. Unlabelled images without a default task get that
    of classes, which the plan then refuses with the reason.

    Raises UsageError if there is no default task, or more than one.
    """
    for kind in (*kinds, "classes") if tuple(kinds) == ("none",) else kinds:
        found = [item for item in registry.items("task") if item.spec.default and kind in item.spec.accepts]
        if len(found) > 1:
            owners = " and ".join(f"{item.canonical} ({item.plugin.distribution})" for item in found)
            names = [item.canonical for item in found]
            raise UsageError(
                f"{_needs_default(adapted)}, but {owners} are each the default for {kind}",
                fix=f"add --task {' or --task '.join(names)}{_as_adapted(adapted)}",
            )
        if found:
            return found[0]
    raise UsageError(
        f"{_needs_default(adapted)}, but no installed task is the default for {' or '.join(kinds)}",
        fix=f"add --task NAME (see `zoo list tasks`){_as_adapted(adapted)}",
    )


def _needs_default(adapted: Item[TaskSpec] | None) -> str:
    return "no task is given" if adapted is None else f"task {adapted.spec.name} trains the default task"


def _as_adapted(adapted: Item[TaskSpec] | None) -> str:
    return "" if adapted is None else f", and --set adapt=[{','.join(adapted.spec.adaptations)}]"


def adaptations_of(registry: Registry, task: Item[TaskSpec]) -> list[Item[AdaptationSpec]]:
    """Return the adaptations of the task's spec. A short name refers to the task's own plugin first."""
    found = []
    for name in task.spec.adaptations:
        own = registry.items("adaptation", name, namespace=task.plugin.namespace)
        found.append(own[0] if own else registry.adaptation(name))
    return found


def task_options_model(
    registry: Registry, task: Item[TaskSpec], kinds: Sequence[TargetKind] = ("classes",)
) -> type[Options]:
    """Return the options model of a task; for one made of adaptations, their options and those of the default task.

    Raises PluginError if two of them have an option of the same name.
    """
    if not task.spec.adaptations:
        return options_model(task)
    parts: list[Item[Any]] = [default_task(registry, kinds, task), *adaptations_of(registry, task)]
    models = [options_model(each) for each in parts]
    names = [name for model in models for name in model.model_fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PluginError(
            f"two components of task '{task.canonical}' have an option '{twice[0]}'",
            where=task.plugin.distribution,
            fix=report_to(task.plugin.distribution),
        )
    bases = tuple(dict.fromkeys(model for model in reversed(models) if model is not Options)) or (Options,)
    return create_model(f"{task.spec.name}_options", __base__=bases)


def own_options(item: Item[Any], values: Mapping[str, Any], section: str, sharing: Sequence[Item[Any]]) -> Options:
    """Return the options of one of several items that share a section.

    Raises ConfigError as `options_of` does, also for a key that belongs to none of them.
    """
    model = options_model(item)
    others = {name for each in sharing for name in options_model(each).model_fields} - set(model.model_fields)
    return checked(model, {key: value for key, value in values.items() if key not in others}, section, sorted(others))


def default_exporter(registry: Registry, name: str | None) -> Item[ExporterSpec]:
    """Return the exporter called ``name``; for None, the default exporter. Raises UsageError if there is not one."""
    if name is not None:
        return registry.exporter(name)
    found = [item for item in registry.items("exporter") if item.spec.default]
    if len(found) == 1:
        return found[0]
    owners = " and ".join(f"{item.canonical} ({item.plugin.distribution})" for item in found)
    raise UsageError(
        "no format is named, and " + (f"{owners} are both the default" if found else "no exporter is the default"),
        fix="add --format NAME (see `zoo list exporters`)",
    )


def build_exporter(item: Item[ExporterSpec], values: Mapping[str, Any] | None = None) -> Exporter[Any]:
    """Return the exporter of a format, with the options ``values`` (default: none). Raises ConfigError for invalid
    options, PluginError if its target is no `Exporter`."""
    options = options_of(item, values or {}, "export")
    target = load_object(item.spec.target, item)
    with in_plugin(item, "building the exporter"), faults_named(item, "built"):
        exporter = target(options)
    if not isinstance(exporter, Exporter):
        raise PluginError(
            f"exporter '{item.canonical}' is a {type(exporter).__name__}, not a zoo.api.Exporter",
            fix=report_to(item.plugin.distribution),
        )
    return exporter
