"""Text is read and written in a named encoding: without one, Windows takes that of the user's language."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
METHODS = {"read_text": 0, "write_text": 1}
"""Methods of a path, and the index of ``encoding`` among what is given by position."""
OTHERS = {"distribution", "info"}
"""Of importlib.metadata, whose read_text takes the name of a file."""


def without_encoding(source: str) -> Iterator[int]:
    """Lines of calls that open a text file and name no encoding."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(keyword.arg in ("encoding", None) for keyword in node.keywords):
            continue
        function = node.func
        owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
        if isinstance(function, ast.Attribute) and function.attr in METHODS:
            if len(node.args) <= METHODS[function.attr] and owner not in OTHERS:
                yield node.lineno
        elif isinstance(function, ast.Name) and function.id == "open":
            yield from () if "b" in _mode(node, 1) else (node.lineno,)
        elif (
            isinstance(function, ast.Attribute)
            and function.attr == "open"
            and _mode(node, 0) in ("r", "w", "a", "x", "r+")
        ):
            yield node.lineno


def _mode(node: ast.Call, index: int) -> str:
    given = [*node.args[index : index + 1], *(each.value for each in node.keywords if each.arg == "mode")]
    return str(given[0].value) if given and isinstance(given[0], ast.Constant) else "r" if index == 1 else ""


def test_calls_are_known() -> None:
    lines = ["p.read_text()", "p.write_text(t)", "open(f)", "p.open('w')", "open(f, 'rb')", "p.open('rb')"]
    lines += ["p.read_text(encoding='utf-8')", "p.write_text(t, 'utf-8')", "Image.open(f)", "p.open('w', encoding=e)"]
    assert list(without_encoding("\n".join(lines))) == [1, 2, 3, 4]


@pytest.mark.parametrize("folder", ["zoo", "plugins", "exports", "examples", ".ci"])
def test_every_text_file_has_an_encoding(folder: str) -> None:
    found = [
        f"{file.relative_to(TOP)}:{line}"
        for file in sorted((TOP / folder).rglob("*.py"))
        for line in without_encoding(file.read_text(encoding="utf-8"))
    ]
    assert found == []
