"""pydantic's validation errors as one-line messages: the key, the expected value, the given value."""

from __future__ import annotations

from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from zoo.errors import nearest

UNKNOWN = "unknown key; fix: "


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return one line per error; for an unknown key, with the closest known one."""
    lines = []
    for fault in _fold_unions(error.errors(), model):
        keys = [str(key) for key in fault["loc"]]
        place = prefix + ".".join(keys)
        match fault["type"]:
            case "extra_forbidden":
                known = _fields(model, keys[:-1])
                near = nearest(keys[-1], known, count=1)
                lines.append(f"{place}: {UNKNOWN}{_advice(near, known)}")
            case "missing":
                lines.append(f"{place}: missing")
            case _:
                message = (
                    fault["msg"]
                    .removeprefix("Value error, ")
                    .replace("Input should be", "must be")
                    .partition(", unable to parse")[0]
                )
                given = "" if fault["type"] == "value_error" else f", not {fault['input']!r:.60}"
                given += (
                    "; fix: quote it to make it text"
                    if fault["type"] == "string_type" and isinstance(fault["input"], (bool, int, float))
                    else ""
                )
                lines.append(f"{place}: {message}{given}")
    return lines


def suggest_among(line: str, known: list[str]) -> str:
    """Return the line of an unknown key with suggestions from ``known`` instead of the model's own fields, since
    several items may share a section."""
    place, marker, _ = line.partition(f": {UNKNOWN}")
    if not marker:
        return line
    near = nearest(place.rpartition(".")[2], known, count=1)
    return f"{place}{marker}{_advice(near, [key for key in known if key != 'name'])}"


def _advice(near: list[str], known: list[str]) -> str:
    if near:
        return f"did you mean {near[0]}?"
    return f"choose one of: {', '.join(known)}" if known else "remove it: there are no options here"


def _fold_unions(faults: list[ErrorDetails], model: type[BaseModel]) -> list[ErrorDetails]:
    """Merge the errors that pydantic reports for each member of a union into one."""
    folded: dict[tuple[object, ...], ErrorDetails] = {}
    for fault in faults:
        loc = fault["loc"]
        parent = [str(key) for key in loc[:-1]]
        key: tuple[object, ...] = loc if not parent or _fields(model, parent) else (*parent, id(fault["input"]))
        if key in folded:
            first, more = (
                folded[key]["msg"].partition(", unable to parse")[0],
                fault["msg"].removeprefix("Input should be "),
            )
            folded[key] = {**fault, "loc": loc[:-1], "msg": f"{first} or {more}"}
        else:
            folded[key] = fault
    return list(folded.values())


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    for key in path:
        annotation = model.model_fields[key].annotation if key in model.model_fields else None
        members = [
            member
            for member in (annotation, *get_args(annotation))
            if isinstance(member, type) and issubclass(member, BaseModel)
        ]
        if not members:
            return []
        model = members[0]
    return [field.alias or name for name, field in model.model_fields.items()]
