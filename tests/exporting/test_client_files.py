"""`zoo.runtime` as the one file that bundles have."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zoo import runtime
from zoo.exporting.client_files import PARTS, runtime_source

FOLDER = Path(runtime.__file__).parent


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "zoo_runtime.py").write_bytes(runtime_source())
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("zoo_runtime")


def top_level(text: str) -> list[ast.stmt]:
    return ast.parse(text).body


def defined(part: str) -> set[str]:
    names: set[str] = set()
    for node in top_level((FOLDER / f"{part}.py").read_text(encoding="utf-8")):
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
    return names - {"Image"}  # whose limit is set


def test_every_file_is_a_part_after_those_that_it_imports() -> None:
    assert {file.stem for file in FOLDER.glob("*.py")} == {"__init__", *PARTS}
    for number, part in enumerate(PARTS):
        body = top_level((FOLDER / f"{part}.py").read_text(encoding="utf-8"))
        modules = [str(node.module) for node in body if isinstance(node, ast.ImportFrom)]
        own = {name.removeprefix("zoo.runtime.") for name in modules if name.partition(".")[0] == "zoo"}
        assert own <= set(PARTS[:number]), part
        renamed = [
            alias.asname
            for node in body
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("zoo")
            for alias in node.names
            if alias.asname
        ]
        assert renamed == [], part


def test_no_name_is_defined_in_two_parts() -> None:
    """In one file, the later one would replace the other."""
    counts = Counter(name for part in PARTS for name in defined(part))
    assert len(counts) > 100
    assert {name: count for name, count in counts.items() if count > 1} == {}


def test_the_file_has_all_names_with_the_same_code(built: ModuleType) -> None:
    for name in runtime.__all__:
        ours: Any = getattr(runtime, name)
        theirs: Any = getattr(built, name)
        if inspect.isfunction(ours) or inspect.isclass(ours):
            assert inspect.getsource(theirs) == inspect.getsource(ours), name
        elif name != "REQUIRED" and name != "FIELDS":  # objects that are only equal to themselves
            assert theirs == ours, name
    assert built.__doc__ == runtime.__doc__


def test_the_file_defines_what_the_parts_define_and_imports_at_its_top() -> None:
    found = top_level(runtime_source().decode())
    assert {node.name for node in found if isinstance(node, ast.FunctionDef | ast.ClassDef)} == {
        name for part in PARTS for name in defined(part) if not name.isupper()
    }
    first = next(number for number, node in enumerate(found) if isinstance(node, ast.FunctionDef))
    later = [ast.unparse(node) for node in found[first:] if isinstance(node, ast.Import | ast.ImportFrom)]
    assert later == ["import numpy as np", "from PIL import Image, UnidentifiedImageError"]
    assert "zoo." not in "".join(ast.unparse(node) for node in found if isinstance(node, ast.Import | ast.ImportFrom))
