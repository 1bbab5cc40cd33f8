"""docs/plugins/reference.md has every name of `zoo.api` with its fields and methods, from the code.

Run as a script, this writes it.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from zoo import api

PAGE = Path(__file__).parents[2] / "docs" / "plugins" / "reference.md"
GROUPS = {
    "Specs": "zoo.contract.specs",
    "Targets and outputs": "zoo.contract.targets",
    "Decisions": "zoo.contract.decisions",
    "Data": "zoo.contract.data",
    "Tasks, adaptations, solvers": "zoo.contract.tasks",
    "Augmentations": "zoo.contract.augmentation",
    "Families": "zoo.contract.families",
    "Exporters": "zoo.contract.export",
    "Events": "zoo.contract.events",
}


def reference() -> str:
    parts = [
        "# Reference of zoo.api",
        f"Contract {api.VERSION}. This page is written from the code by `python tests/docs/test_plugin_reference.py`.",
    ]
    for title, module in GROUPS.items():
        found = [
            value for name in api.__all__ if inspect.isclass(value := getattr(api, name)) and value.__module__ == module
        ]
        parts += [f"## {title}", *(part for value in sorted(found, key=_place) for part in _entry(value))]
    return "\n\n".join(parts) + "\n"


def _place(value: type) -> int:
    return inspect.getsourcelines(value)[1]


def _entry(value: type) -> list[str]:
    rows = [*_model_rows(value), *_member_rows(value)]
    table = ["| | |\n| --- | --- |\n" + "\n".join(f"| {name} | {text} |" for name, text in rows)] if rows else []
    return [f"### {value.__name__}", _plain(value.__doc__ or ""), *table]


def _model_rows(value: type) -> list[tuple[str, str]]:
    if issubclass(value, BaseModel):
        return [
            (f"`{name}: {_type(field.annotation)}{_default(field.default)}`", field.description or "")
            for name, field in value.model_fields.items()
            if name in value.__annotations__
        ]
    if is_dataclass(value):
        own = inspect.get_annotations(value)
        return [
            (f"`{each.name}: {own[each.name]}`".replace("|", "\\|"), "") for each in fields(value) if each.name in own
        ]
    named: dict[str, Any] = inspect.get_annotations(value) if issubclass(value, tuple) else {}
    return [(f"`{name}: {text}`".replace("|", "\\|"), "") for name, text in named.items()]


def _member_rows(value: type) -> list[tuple[str, str]]:
    rows = []
    for name, member in vars(value).items():
        if name.startswith("_") or (issubclass(value, BaseModel) and name.startswith("model_")):
            continue
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not inspect.isfunction(function):
            continue
        signature = re.sub(r"\(self(, )?|\(cls(, )?", "(", str(inspect.signature(function))).replace("'", "")
        shown = name if isinstance(member, property) else f"{name}{signature}"
        rows.append((f"`{shown}`".replace("|", "\\|"), _plain(function.__doc__ or "", joined=True)))
    return rows


def _plain(text: str, *, joined: bool = False) -> str:
    paragraphs = [" ".join(each.split()) for each in inspect.cleandoc(text).split("\n\n")]
    return (" " if joined else "\n\n").join(paragraphs).replace("``", "`").replace("|", "\\|")


def _type(annotation: Any) -> str:
    text = (
        annotation.__name__ if inspect.isclass(annotation) and not hasattr(annotation, "__args__") else str(annotation)
    )
    text = re.sub(r"\b(typing|collections\.abc|zoo\.contract\.\w+|pathlib)\.", "", text)
    text = re.sub(r"Annotated\[(\w+), .*?\)\]", r"\1", text)
    return text.replace("|", "\\|")


def _default(value: Any) -> str:
    return "" if value is PydanticUndefined else f" = {value!r}".replace("|", "\\|")


def test_the_reference_is_that_of_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run python tests/docs/test_plugin_reference.py"


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
