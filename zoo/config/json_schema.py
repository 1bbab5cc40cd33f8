"""The JSON Schema of a configuration, with the options of the installed components, for editors."""

from __future__ import annotations

from typing import Any

from zoo.config.run_config import RunConfig
from zoo.registry.lookup import Item, Registry, options_model

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SECTIONS = {"architecture": "Section", "dataset": "DatasetSection", "task": "Section"}
"""Sections that name a component, with the model of each."""


def config_schema(registry: Registry) -> dict[str, Any]:
    """Return the schema of what ``zoo run --config`` reads (JSON Schema 2020-12).

    A file may leave out every key that has a default, and name a ``recipe`` in place of components. Members of
    families have no options here. Raises PluginError if the options of a component cannot be imported.
    """
    schema = RunConfig.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    properties = schema["properties"]
    for kind, model in SECTIONS.items():
        definitions[kind] = _section(registry, kind, definitions[model], definitions)
        described = {"description": f"the {kind}: its name and its options"}
        properties[kind] = {**described, "anyOf": [{"$ref": f"#/$defs/{kind}"}, {"type": "null"}]}
    adaptation = _section(registry, "adaptation", definitions["Section"], definitions)
    definitions["adaptation"] = adaptation
    properties["adapt"]["items"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/adaptation"}, {"type": "object"}]}
    augment = definitions["TrainConfig"]["properties"]["augment"]
    step = {"anyOf": [{"type": "string"}, {"type": "object", "maxProperties": 1}]}
    augment |= {"anyOf": [{"type": "string"}, {"type": "array", "items": step}]}
    del augment["type"], augment["items"]
    recipes = [name for item in registry.items("recipe") for name in _names(registry, item)]
    properties["recipe"] = {**properties["recipe"], "examples": recipes}
    schema.pop("required", None)  # a file is merged over a recipe
    del definitions["Section"], definitions["DatasetSection"]
    return {
        "$schema": DIALECT,
        "title": "Configuration of a zoo run",
        **{k: v for k, v in schema.items() if k != "title"},
    }


def _section(registry: Registry, kind: str, model: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a section; with the name of a known component come the options of its model."""
    items = registry.items(kind)
    names = [name for item in items for name in _names(registry, item)]
    properties = {**model["properties"], "name": {**model["properties"]["name"], "examples": names}}
    branches = [branch for item in items if (branch := _branch(registry, item, properties, definitions)) is not None]
    return {**model, "required": [], "properties": properties, "allOf": branches}


def _branch(registry: Registry, item: Item[Any], common: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return what holds for a section with the name of ``item``: a task that stands for adaptations has their options
    and those of the default task, which depends on the dataset, so that others are accepted here."""
    adaptations = [registry.adaptation(name) for name in getattr(item.spec, "adaptations", ())]
    known: dict[str, Any] = dict.fromkeys(common, True)
    for each in adaptations or [item]:
        options = options_model(each).model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(options.pop("$defs", {}))
        known |= options.get("properties", {})
    named = {"properties": {"name": {"enum": _names(registry, item)}}, "required": ["name"]}
    return {"if": named, "then": {"properties": known, "additionalProperties": bool(adaptations)}}


def _names(registry: Registry, item: Item[Any]) -> list[str]:
    """Return the short name, if it is unambiguous, and the canonical one."""
    return list(dict.fromkeys([registry.short_name(item), item.canonical]))
