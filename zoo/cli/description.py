"""What `zoo info` knows of an item, as JSON data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.cli.list_items import as_dict
from zoo.errors import ZooError
from zoo.paths import data_root
from zoo.registry import Item, Registry, options_model

if TYPE_CHECKING:
    from pydantic import BaseModel


def describe(catalogue: Registry, item: Item[Any]) -> dict[str, Any]:
    """Everything about an item. Where a part cannot be told (a broken options module, for one), ``problems`` says why."""
    problems: list[str] = []
    facts: dict[str, Any] = {**as_dict(item), **item.spec.model_dump(mode="json", exclude={"name", "summary"})}
    if hasattr(item.spec, "options"):
        facts["options"] = _attempt(problems, lambda: options(options_model(item))) or []
    match item.kind:
        case "recipe":
            facts["configuration"] = _attempt(problems, lambda: _configuration(catalogue, item))
        case "architecture":
            facts["size"] = _attempt(problems, lambda: _size(catalogue, item))
        case "dataset":
            facts |= {"embedded": item.spec.embedded, "download_size": item.spec.download_size, "data_folder": str(data_root())}
            facts["files"] = [_file(file) for file in item.spec.files]
    if problems:
        facts["problems"] = problems
    return facts


def options(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Each option with its type, default and description."""
    schema = model.model_json_schema()
    required = set(schema.get("required", ()))
    rows = []
    for name, field in schema.get("properties", {}).items():
        facts = {"name": name, "type": _type(field), "required": name in required}
        if name not in required:
            facts["default"] = field.get("default")
        rows.append({**facts, "description": field.get("description", "")})
    return rows


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(str(value) for value in field["enum"])
    if "const" in field:
        return str(field["const"])
    if "anyOf" in field:
        return " | ".join(_type(each) for each in field["anyOf"])
    limits = [f"{sign} {field[key]}" for key, sign in LIMITS.items() if key in field]
    return " ".join([str(field.get("type", "any")), *limits])


LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _configuration(catalogue: Registry, item: Item[Any]) -> dict[str, Any]:
    from zoo.resolve import resolve

    return resolve(catalogue, item.canonical).as_dict()


def _size(catalogue: Registry, item: Item[Any]) -> dict[str, Any]:
    """Parameters at the default input, with ten classes where nothing else is said; this imports torch."""
    from zoo.config import Section
    from zoo.models import build_model, count_macs, count_parameters

    channels, height, width = item.spec.input
    classes = 10
    section = Section(name=item.canonical, **options_model(item)().model_dump())
    model = build_model(catalogue, section, in_channels=channels, num_classes=classes, image_size=(height, width))
    parameters, _ = count_parameters(model)
    return {"input": [channels, height, width], "classes": classes, "parameters": parameters, "macs": count_macs(model, item.spec.input)}


def _file(file: Any) -> dict[str, Any]:
    place = data_root() / file.path
    return {**file.model_dump(mode="json"), "place": str(place), "present": place.is_file()}


def _attempt(problems: list[str], question: Any) -> Any:
    """A part that cannot be told is told so, and the rest goes on."""
    try:
        return question()
    except (ZooError, ValueError) as error:
        problems.append(str(error))
        return None
