"""The part of a bundle's client that all formats share."""

from __future__ import annotations

import ast
import functools
import re
import sys
from pathlib import Path

from zoo import runtime

RUNTIME = "zoo_runtime.py"
PREDICT = "predict.py"
PARTS = (
    "versions",
    "decoding",
    "image_files",
    "resizing",
    "preprocessing",
    "decisions",
    "bundles",
    "gallery",
    "answers",
    "masks",
    "tables",
    "descriptions",
    "opening",
    "batches",
    "windows",
    "predicting",
    "command_line",
)
"""The files of `zoo.runtime`, each after those that it imports."""


FUTURE = "from __future__ import annotations"


@functools.cache
def runtime_source() -> bytes:
    """Return `zoo.runtime` as one file, which a bundle's predict.py imports as ``zoo_runtime``.

    It has the docstring of `zoo.runtime`, the imports of all parts, and their code, each under its docstring as a
    comment. Packages are imported after the first part, which says what to install if one is missing.
    """
    folder = Path(runtime.__file__).parent
    texts = [(folder / f"{name}.py").read_text(encoding="utf-8") for name in PARTS]
    standard, packages = _imports(texts)
    first, *others = map(_code, texts)
    found = [f'"""{runtime.__doc__}"""\n\n{FUTURE}\n\n{standard}', first, f"{packages}", *others]
    return ("\n\n\n".join(found) + "\n").encode()


def _imports(texts: list[str]) -> tuple[str, str]:
    """Return the imports of the standard library, and of packages, at the top of any of these files."""
    names: dict[str, set[str]] = {}
    for node in (node for text in texts for node in ast.parse(text).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            names.setdefault(module, set()).update(map(ast.unparse, node.names))
    plain = [(name.partition(" ")[0], f"import {name}") for name in sorted(names.pop("", ()))]
    given = [(name, f"from {name} import {', '.join(sorted(taken))}") for name, taken in sorted(names.items())]
    own = {"__future__", "zoo"}
    lines = [(name.partition(".")[0], line) for name, line in plain + given if name.partition(".")[0] not in own]
    standard = [line for top, line in lines if top in sys.stdlib_module_names]
    return "\n".join(standard), "\n".join(line for _, line in lines if line not in standard)


def _code(text: str) -> str:
    """Return the code of a part without its imports, under its docstring as a comment."""
    lines = text.splitlines()
    docstring, *body = ast.parse(text).body
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    code = "\n".join(lines[docstring.end_lineno :]).strip()
    return f"# {ast.get_docstring(ast.parse(text))} ".ljust(120, "-") + "\n\n\n" + re.sub(r"\n{4,}", "\n\n\n", code)
