"""Every error says what to do next."""

from __future__ import annotations

import ast
from pathlib import Path

from zoo import errors
from zoo.errors import ExportError, PluginError, ZooError, report_to

TOP = Path(__file__).parents[1]
OWN = {"ConfigError", "UnknownNameError"}
"""Errors whose text has the fix: a problem's line names it, a wrong name proposes the nearest ones."""
ALONE = "zoo/runtime"
"""It imports nothing of the zoo and has errors of its own."""
TREE = {name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, ZooError)}


def _without_fix(file: Path) -> list[str]:
    """Calls of an error's class that name no fix, where the class has no usual one."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    classes = {name for name, kind in TREE.items() if name not in OWN and kind.usual_fix is None}
    local = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) in TREE for base in node.bases)
    ]
    classes |= {
        kind.name
        for kind in local
        if not any(isinstance(each, ast.FunctionDef) and each.name == "__init__" for each in kind.body)
    }
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in classes)
    return [ast.unparse(node) for node in calls if not any(keyword.arg in ("fix", None) for keyword in node.keywords)]


def test_every_error_names_its_fix() -> None:
    files = [
        file
        for folder in ("zoo", "plugins")
        for file in (TOP / folder).rglob("*.py")
        if file.relative_to(TOP).parent.as_posix() != ALONE
    ]
    assert {str(file.relative_to(TOP)): found for file in files if (found := _without_fix(file))} == {}


def test_a_usual_fix_is_said_where_an_error_names_none() -> None:
    assert str(ExportError("nothing was written")).startswith(
        "nothing was written; fix: report the architecture and this line"
    )
    assert str(ExportError("nothing was written", fix="wait")) == "nothing was written; fix: wait"


def test_a_fault_of_a_plugin_has_one_fix_from_one_place() -> None:
    assert report_to("zoo-lab") == "report it to the authors of zoo-lab"
    assert report_to("zoo-lab", "zoo-toys", "zoo-lab") == "report it to the authors of zoo-lab or zoo-toys"
    assert PluginError("it is broken").fix == report_to() == "report it to the authors of the plugin"
    written = {
        str(file.relative_to(TOP)) for file in (TOP / "zoo").rglob("*.py") if "report it to" in file.read_text("utf-8")
    }
    assert written == {"zoo/errors.py"}
