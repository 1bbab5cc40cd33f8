"""What is imported is declared, what is declared is imported, and the files of pinned versions agree with pyproject."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

TOP = Path(__file__).parents[2]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DISTRIBUTIONS = {
    "PIL": "pillow",
    "ruamel": "ruamel.yaml",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
    "model_signing": "model-signing",
    "mlflow": "mlflow-skinny",
    "pydantic_core": "pydantic",  # of exactly one version, which pydantic chooses
}
"""Distributions whose module has another name."""
BUNDLED = {"pt2_archive", "pt2_program"}
"""Modules beside a bundle's predict.py."""
KERNEL = {"ipython"}
"""Imported only in a notebook, whose kernel it is."""
UNDECLARED_ELSEWHERE = {"pyopenssl", "sqlalchemy", "alembic"}
"""Imported by model-signing and mlflow-skinny, which do not declare them."""
OPTIONAL = [EXTRAS[name] for name in ("tensorboard", "mlflow", "wandb", "trackio", "tune")]
"""Of clients whose tests are skipped where they are not installed."""
TOOLS = {"pytest-xdist", "mypy", "ruff", "build", "hatchling", "editables"}
"""Of the extra `dev`: run by the Makefile, and imported by no test."""


def imported(file: Path) -> Iterator[str]:
    """Top-level modules that a file imports anywhere in it, but its own project's and the standard library's."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip":
            names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        for name in (str(name).partition(".")[0] for name in names):
            if name not in sys.stdlib_module_names and name != "zoo" and not name.startswith("zoo_"):
                yield name


def imports(*folders: str) -> dict[str, set[str]]:
    """For each distribution that is imported below these folders, the files that do."""
    found = defaultdict(set)
    for folder in folders:
        beside = {each.stem for each in (TOP / folder).rglob("*.py")}
        for file in (TOP / folder).rglob("*.py"):
            for module in set(imported(file)) - beside:
                found[DISTRIBUTIONS.get(module, module).lower()].add(str(file.relative_to(TOP)))
    return found


def declared(*lists: list[str]) -> set[str]:
    return {Requirement(line).name.lower() for lines in lists for line in lines}


def test_what_zoo_and_its_plugins_import_is_declared() -> None:
    due = declared(PROJECT["dependencies"], EXTRAS["rar"], EXTRAS["hub"], EXTRAS["sign"], *OPTIONAL) | BUNDLED | KERNEL
    assert {name: files for name, files in imports("zoo", "plugins").items() if name not in due} == {}


def test_an_extra_is_imported_only_where_its_absence_is_an_error_of_one_line() -> None:
    assert imports("zoo", "plugins")["rarfile"] == {"zoo/data/archives.py", "zoo/inspection/archives.py"}
    for name in imports("zoo", "plugins")["rarfile"]:
        assert "pip install 'torch-zoo[rar]'" in (TOP / name).read_text(encoding="utf-8")
    assert imports("zoo", "plugins")["model-signing"] == {"zoo/exporting/signing.py"}
    assert "pip install 'torch-zoo[sign]'" in (TOP / "zoo/exporting/signing.py").read_text(encoding="utf-8")
    assert imports("zoo", "plugins")["huggingface_hub"] == {"zoo/models/weights_download.py"}
    assert "pip install 'torch-zoo[hub]'" in (TOP / "zoo/models/weights_download.py").read_text(encoding="utf-8")


def test_what_is_declared_is_imported() -> None:
    here = {*imports("zoo", "plugins"), "onnxruntime-gpu"}
    assert declared(PROJECT["dependencies"]) - here == set()
    assert declared(EXTRAS["rar"], EXTRAS["hub"], EXTRAS["sign"], *OPTIONAL) - here - UNDECLARED_ELSEWHERE == set()
    assert declared(EXTRAS["dev"]) - {*imports("tests"), *TOOLS} - UNDECLARED_ELSEWHERE == set()


def test_what_tests_import_is_declared() -> None:
    due = declared(PROJECT["dependencies"], EXTRAS["dev"], *OPTIONAL)
    # for versions of typer that use it; docs/build_site.py; the own dependencies of an example and of benchmarks
    known = {"click", "build_site", "openvino", "spdl", "fastai"}
    found = imports("tests", "benchmarks", "examples")
    assert {name: files for name, files in found.items() if name not in due | known} == {}


def test_constraints_min_has_each_declared_lower_bound() -> None:
    script = TOP / ".ci" / "minimum_versions.py"
    made = subprocess.run([sys.executable, str(script)], capture_output=True, encoding="utf-8", check=True).stdout
    assert (TOP / "constraints-min.txt").read_text(encoding="utf-8") == made
    pinned = {Requirement(line).name.lower() for line in made.splitlines() if not line.startswith("#")}
    assert pinned == declared(PROJECT["dependencies"], *EXTRAS.values())


@pytest.mark.parametrize("line", ["torch", "torch<3", "torch~=2.1"])
def test_a_dependency_without_a_lower_bound_is_refused(line: str) -> None:
    project = {"project": {"dependencies": [line], "optional-dependencies": {}}}
    code = f"import minimum_versions; minimum_versions.lower_bounds({project!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TOP / ".ci", capture_output=True, encoding="utf-8", check=False
    )
    assert f"ValueError: '{line}' declares no lower bound" in done.stderr


def test_constraints_are_within_the_declared_bounds() -> None:
    lines = (TOP / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    due = {
        Requirement(line).name.lower(): Requirement(line).specifier
        for line in [*PROJECT["dependencies"], *EXTRAS["rar"], *EXTRAS["hub"], *EXTRAS["sign"], *EXTRAS["dev"]]
    } | {
        Requirement(line).name.lower(): Requirement(line).specifier
        for name in ("tensorboard", "mlflow", "wandb", "tune")  # trackio needs an older pillow than the one pinned here
        for line in EXTRAS[name]
    }
    del due["onnxruntime"]  # of other systems; constraints.txt was written on Linux
    assert {name: pinned.get(name) for name, bounds in due.items() if pinned.get(name) not in bounds} == {}


def test_a_description_in_plain_words() -> None:
    assert "verified" in PROJECT["description"]
    assert re.search(r"\bproved\b", PROJECT["description"]) is None
