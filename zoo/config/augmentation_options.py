"""Parsing and validation of augmentation specifications.

`zoo.data.augmentation` applies them; this module does not import torch.

A specification is a list of steps, applied in order. A step is the name of an augmentation, alone or with its options,
or with the value of its first option:

    [flip, crop: 4, color_jitter: {brightness: 0.4, hue: 0.1}]

On the command line the brackets are optional: ``--augment "flip, crop: 4"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from zoo.api import AugmentationSpec, Options
from zoo.errors import ConfigError, UnknownNameError, UsageError, nearest
from zoo.registry.lookup import Item, options_model, registry
from zoo.support.yaml_files import parse_yaml

Specification = Sequence[dict[str, dict[str, Any]]]
"""In canonical form: a list of ``{name: {every option}}``."""


def parse_augment(text: str) -> list[dict[str, dict[str, Any]]]:
    """Return a specification from the command line in canonical form. Raises UsageError."""
    try:
        return canonical(text)
    except ValueError as error:
        raise UsageError(f"--augment: {error}", fix='for example --augment "flip, crop: 4"') from error


def canonical(value: Any) -> list[dict[str, dict[str, Any]]]:
    """Return any accepted form as a list of ``{name: {every option}}``.

    Raises ValueError with every problem, or PluginError if the plugin of a step is not available.
    """
    if isinstance(value, str):
        inner = value.strip().removeprefix("[").removesuffix("]")
        try:
            value = parse_yaml(f"[{inner}]", where="augment")
        except ConfigError as error:
            raise ValueError(f"'{inner}' is not a list of steps: {error}") from error
    if not isinstance(value, Sequence):
        raise ValueError(f"must be a list of steps, not {value!r:.60}")
    problems: list[str] = []
    found = [_step(each, problems) for each in value]
    if problems:
        raise ValueError("; ".join(problems))
    return [{name: step.model_dump(mode="json")} for name, step in found if step is not None]


def build_steps(specification: Specification) -> list[tuple[Item[AugmentationSpec], Options]]:
    """Return the augmentations of a canonical specification with their options.

    Raises UnknownNameError or PluginError.
    """
    items = [(registry().augmentation(name), given) for each in specification for name, given in each.items()]
    return [(item, options_model(item).model_validate(given)) for item, given in items]


def _step(value: Any, problems: list[str]) -> tuple[str, Options | None]:
    name, options = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, {})
    if not isinstance(name, str):
        problems.append(f"{value!r:.60} is not a step: write a name, or a name with its options")
        return "", None
    item = _registered(name, problems)
    if item is None:
        return name, None
    model = options_model(item)
    if not isinstance(options, dict):
        main = next(iter(model.model_fields), None)
        if main is None:
            problems.append(f"{name} has no options")
            return name, None
        options = {main: options}
    try:
        return name, model.model_validate(options)
    except ValidationError as error:
        problems += [_explained(name, model, fault) for fault in error.errors()]
        return name, None


def _registered(name: str, problems: list[str]) -> Item[AugmentationSpec] | None:
    try:
        return registry().augmentation(name)
    except UnknownNameError:
        specs = (spec for plugin in registry().plugins for spec in plugin.specs.get("augmentation", ()))
        known = [spec.name for spec in specs]
        near = nearest(name, known, count=1)
        problems.append(
            f"unknown augmentation '{name}'; "
            + (f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}")
        )
    except UsageError as error:  # two plugins have an augmentation of that name
        problems.append(f"{error.what}; {error.fix}")
    return None


def _explained(name: str, model: type[Options], fault: Any) -> str:
    known = (
        f"; known options: {', '.join(model.model_fields) or 'none'}"
        if fault["type"] == "extra_forbidden"
        else f", not {fault['input']!r:.40}"
    )
    message = (
        fault["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "must be")
        .replace("Extra inputs are not permitted", "unknown option")
    )
    return f"{name}.{'.'.join(map(str, fault['loc']))}: {message}{known}"
