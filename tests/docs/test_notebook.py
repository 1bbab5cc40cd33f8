"""The notebooks in examples/: their cells run in their order, and put out what is stored.

No kernel is started: the cells are plain Python and share one namespace. `python tests/docs/test_notebook.py` writes
their output anew.
"""

from __future__ import annotations

import ast
import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from console_pages import TOP, Console, agrees, writing

NOTEBOOKS = sorted((TOP / "examples").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


def executed(source: str, number: int, console: Console) -> list[dict[str, Any]]:
    """The outputs of a cell, as a notebook stores them: what it prints, and the value of its last expression."""
    body = ast.parse(source).body
    last = ast.unparse(body.pop()) if isinstance(body[-1], ast.Expr) and "print(" not in source else None
    printed = console.execute("\n".join(map(ast.unparse, body)))
    outputs: list[dict[str, Any]] = []
    if printed:
        outputs.append({"name": "stdout", "output_type": "stream", "text": printed.splitlines(keepends=True)})
    if last is not None:
        value = eval(last, console.names)  # noqa: S307
        data: dict[str, Any] = {"text/plain": repr(value).splitlines(keepends=True)}
        if hasattr(value, "_repr_png_"):
            data = {
                "image/png": base64.b64encode(value._repr_png_()).decode(),
                "text/plain": [f"<image {value.width}x{value.height}>"],
            }
        outputs.append({"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"})
    return outputs


def text(outputs: list[dict[str, Any]]) -> list[str]:
    return "\n".join("".join(each.get("text") or each["data"]["text/plain"]) for each in outputs).splitlines()


@each_notebook
def test_the_cells_put_out_what_is_stored(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZOO_RUNS", "ZOO_EXPORTS"):
        monkeypatch.delenv(name)
    notebook = json.loads(file.read_text(encoding="utf-8"))
    console = Console(tmp_path, monkeypatch)
    for number, cell in enumerate((each for each in notebook["cells"] if each["cell_type"] == "code"), 1):
        outputs = executed("".join(cell["source"]), number, console)
        if writing():
            cell["outputs"], cell["execution_count"] = outputs, number
        assert agrees(text(cell["outputs"]), text(outputs), numbers=True), "".join(cell["source"])
    if writing():
        file.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@each_notebook
def test_the_notebook_is_of_the_format(file: Path) -> None:
    notebook = json.loads(file.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert all(cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")


if __name__ == "__main__":
    os.environ["WRITE_PAGES"] = "1"
    sys.exit(pytest.main(["-q", __file__, "-k", "put_out"]))
