"""Names of the decorated functions of a package, read from its source without importing it."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path


def decorated_functions(package: str, folder: str, decorator: str) -> list[str]:
    """Return the sorted names of the top-level functions with ``@decorator`` or ``@decorator(...)`` in the modules of
    ``folder``, a folder of a package.

    Raises ModuleNotFoundError if the package is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"no package is called '{package}'", name=package)
    files = sorted(Path(found.submodule_search_locations[0], folder).glob("*.py"))
    return sorted({name for file in files for name in _decorated(file, decorator)})


def _decorated(file: Path, decorator: str) -> list[str]:
    source = file.read_text(encoding="utf-8")
    if f"@{decorator}" not in source:
        return []
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return [
        function.name for function in functions if any(_name(each) == decorator for each in function.decorator_list)
    ]


def _name(decorator: ast.expr) -> str | None:
    bare = decorator.func if isinstance(decorator, ast.Call) else decorator
    return bare.id if isinstance(bare, ast.Name) else None
