"""The options of an item as the object that its implementation receives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError, create_model

from zoo.api import AdaptationSpec, Exporter, ExporterSpec, Options, TargetKind, TaskSpec
from zoo.config.validation_errors import explain, suggest_among
from zoo.errors import ConfigError, PluginError, UsageError
from zoo.registry.lookup import Item, Registry, load_object, options_model


def options_of(
    item: Item[Any], values: Mapping[str, Any], section: str | None = None, others: Collection[str] = ()
) -> Options:
    """The options of ``item``, checked against its model.

    ``section`` is their place in a configuration, ``others`` are keys that are known there beside them. Raises
    ConfigError with a line for each option that is unknown, with the closest name, or has no valid value.
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
    """The task that is learned where none is named, of targets of the first of ``kinds`` that has one.

    ``adapted`` is the task made of adaptations that was named, if any. Images without targets that have no default of
    their own get that of classes, which the plan then refuses with the reason.

    Raises UsageError where there is none, or two plugins each have one.
    """
    for kind in (*kinds, "classes") if tuple(kinds) == ("none",) else kinds:
        found = [item for item in registry.items("task") if item.spec.default and kind in item.spec.accepts]
        if len(found) > 1:
            owners = " and ".join(f"{item.canonical} ({item.plugin.distribution})" for item in found)
            names = [item.canonical for item in found]
            raise UsageError(
                f"{_needs_default(adapted)}, and {owners} are each the default for {kind}",
                fix=f"add --task {' or --task '.join(names)}{_as_adapted(adapted)}",
            )
        if found:
            return found[0]
    raise UsageError(
        f"{_needs_default(adapted)}, and no installed task is the default for {' or '.join(kinds)}",
        fix=f"add --task NAME (see `zoo list tasks`){_as_adapted(adapted)}",
    )


def _needs_default(adapted: Item[TaskSpec] | None) -> str:
    return "no task is named" if adapted is None else f"task {adapted.spec.name} is learned as the default task"


def _as_adapted(adapted: Item[TaskSpec] | None) -> str:
    return "" if adapted is None else f", and --set adapt=[{','.join(adapted.spec.adaptations)}]"


def adaptations_of(registry: Registry, task: Item[TaskSpec]) -> list[Item[AdaptationSpec]]:
    """Those that the task's spec names; a bare name is one of its own plugin, where that has it."""
    found = []
    for name in task.spec.adaptations:
        own = registry.items("adaptation", name, namespace=task.plugin.namespace)
        found.append(own[0] if own else registry.adaptation(name))
    return found


def task_options_model(
    registry: Registry, task: Item[TaskSpec], kinds: Sequence[TargetKind] = ("classes",)
) -> type[Options]:
    """The options of a task as it is typed: of one made of adaptations, theirs and those of the default task that it
    takes.

    Raises PluginError where two of them have an option of one name.
    """
    if not task.spec.adaptations:
        return options_model(task)
    parts: list[Item[Any]] = [default_task(registry, kinds, task), *adaptations_of(registry, task)]
    models = [options_model(each) for each in parts]
    names = [name for model in models for name in model.model_fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PluginError(
            f"two parts of task '{task.canonical}' have an option '{twice[0]}'",
            where=task.plugin.distribution,
            fix="report it to the authors",
        )
    bases = tuple(dict.fromkeys(model for model in reversed(models) if model is not Options)) or (Options,)
    return create_model(f"{task.spec.name}_options", __base__=bases)


def own_options(item: Item[Any], values: Mapping[str, Any], section: str, sharing: Sequence[Item[Any]]) -> Options:
    """The options of one of several items that share a section: the keys of the others are theirs.

    Raises ConfigError as `options_of` does, for a key of none of them too.
    """
    model = options_model(item)
    others = {name for each in sharing for name in options_model(each).model_fields} - set(model.model_fields)
    return checked(model, {key: value for key, value in values.items() if key not in others}, section, sorted(others))


def build_exporter(item: Item[ExporterSpec]) -> Exporter:
    """The exporter of a format, at its default options."""
    exporter: Exporter = load_object(item.spec.target, item)(options_model(item)())
    return exporter
