"""The shape of `zoo/`: folders in floors, imports that point down, no circles between files, and few files at the
root."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
FLOORS = (
    ("cli",),
    ("testing", "doctor"),
    ("workflows",),
    ("benching",),
    ("exporting", "inspection", "analysis"),
    ("reporting",),
    ("training",),
    ("runs",),
    ("models",),
    ("data",),
    ("config",),
    ("registry",),
    ("support",),
    ("contract",),
    ("runtime",),
)
"""From the top down: a folder imports those of lower floors."""
FLOOR = {folder: floor for floor, folders in enumerate(FLOORS) for folder in folders}
AT_THE_ROOT = {"__init__", "__main__", "api", "errors", "hookspecs", "plugin"}
PUBLIC = {"benchmark", "compare", "evaluate", "export", "load", "predict", "report", "run"}


def modules(root: str = "zoo") -> dict[str, Path]:
    files = sorted((TOP / root).rglob("*.py"))
    return {".".join(file.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


MODULES = modules()


def imported(file: Path) -> Iterator[str]:
    """Modules of zoo that a file imports, in a function or for type checking too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{file}: a relative import"
            for name in node.names:
                yield next((each for each in (f"{node.module}.{name.name}", node.module) if each in MODULES), "")


GRAPH = {name: {each for each in imported(file) if each and each != name} for name, file in MODULES.items()}


def folder(module: str) -> str | None:
    """None for a file at the root."""
    second = module.split(".")[1:2]
    return second[0] if second and second[0] in FLOOR else None


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph; empty where it has none."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        found = next(
            (each for each in (walk(other, [*path, name]) for other in sorted(graph.get(name, ()))) if each), []
        )
        done.add(name)
        return found

    return next((each for each in (walk(name, []) for name in graph) if each), [])


def test_every_folder_has_a_floor() -> None:
    folders = {each.name for each in (TOP / "zoo").iterdir() if each.is_dir() and list(each.glob("*.py"))}
    assert folders == set(FLOOR)


def test_folders_import_downwards_only() -> None:
    up = [
        f"{name} imports {other}"
        for name, others in GRAPH.items()
        for other in others
        if (above := folder(name)) and (below := folder(other)) and above != below and FLOOR[above] >= FLOOR[below]
    ]
    assert up == []


def test_no_circle_between_files() -> None:
    assert circle(GRAPH) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


@pytest.mark.parametrize("plugin", sorted(each.name for each in (TOP / "plugins").iterdir() if each.is_dir()))
def test_no_circle_between_files_of_a_plugin(plugin: str) -> None:
    own = {f"{plugin}.{file.stem}": file for file in (TOP / "plugins" / plugin).glob("*.py")}
    graph = {name: {each for each in _names(file) if each in own and each != name} for name, file in own.items()}
    assert circle(graph) == []


def _names(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_the_base_imports_nothing_of_the_floors_above() -> None:
    """What plugins import stands below all folders; `zoo.api`, `zoo.plugin` and `zoo/__init__.py` load what they offer
    on first use."""
    lazy = {"zoo.support.lazy_attributes"}
    for name in ("zoo.api", "zoo.errors", "zoo.hookspecs"):
        assert {folder(other) for other in GRAPH[name] - lazy} <= {None, "contract"}, name


def test_few_files_at_the_root() -> None:
    assert {file.stem for file in (TOP / "zoo").glob("*.py")} <= AT_THE_ROOT
    assert len(AT_THE_ROOT) <= 8


def test_no_folder_has_the_name_of_a_public_function() -> None:
    assert PUBLIC & set(FLOOR) == set()


def test_packages_are_empty() -> None:
    """Whatever stands in `__init__.py` is loaded with every module of the folder.

    `zoo.testing` and `zoo.runtime` are themselves what plugins import.
    """
    full = [
        name
        for name, file in MODULES.items()
        if file.stem == "__init__"
        and folder(name) not in (None, "testing", "runtime")
        and file.read_text(encoding="utf-8")
    ]
    assert full == []


def test_zoo_knows_no_format_of_files() -> None:
    """What opens, writes or describes one is its exporter's; `zoo doctor` examines a package that is installed."""
    files = [file for file in sorted((TOP / "zoo").rglob("*")) if file.is_file() and file.suffix != ".pyc"]
    assert {".j2", ".py"} <= {file.suffix for file in files}
    naming = [
        f"{file.relative_to(TOP)}:{number}: {line.strip()}"
        for file in files
        if file.relative_to(TOP / "zoo").parts[0] != "doctor"
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if re.search("onnx|opset", line, re.IGNORECASE)
    ]
    assert naming == []


FOR_PLUGINS = ("zoo.api", "zoo.errors", "zoo.plugin", "zoo.testing")
FOR_APPLICATIONS = {"examples": ("zoo",)}
"""The functions of `zoo` call plugins, so only an application may use them."""


@pytest.mark.parametrize("root", ["plugins", "examples"])
def test_plugins_import_what_a_third_party_could(root: str) -> None:
    inner = [
        f"{file.relative_to(TOP)}: {name}"
        for file in sorted((TOP / root).rglob("*.py"))
        for name in imported(file)
        if name and name not in (*FOR_PLUGINS, *FOR_APPLICATIONS.get(root, ()))
    ]
    assert inner == []


BESIDE = {
    "benchmarks",
    "docs",
    "examples",
    "faults",
    "fuzz",
    "golden",
    "packaging",
    "plugins",
    "runtime",
    "third_party",
}
TESTS = sorted((TOP / "tests").rglob("test_*.py"))


def test_tests_mirror_the_tree() -> None:
    assert {each.name for each in (TOP / "tests").iterdir() if list(each.glob("*.py"))} <= BESIDE | set(FLOOR)


def test_every_test_says_that_it_returns_nothing() -> None:
    silent = [
        f"{file.relative_to(TOP)}: {node.name}"
        for file in TESTS
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and node.returns is None
    ]
    assert silent == []


# ------------------------------------------------------------------------------------------------------- private names


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and not name.endswith("_")  # `_repr_html_` is Jupyter's


def private_names(file: Path) -> Iterator[str]:
    """What a file defines for itself: functions, classes, module variables, and attributes of its objects."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.attr if isinstance(node, ast.Attribute) else node.id


def touched(file: Path) -> Iterator[str]:
    """Names that a file takes from others: attributes, imported names, and those in the text of a monkeypatch."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            texts = (each.value for each in node.args[:2] if isinstance(each, ast.Constant))
            yield from (str(text).rpartition(".")[2] for text in texts)


def test_no_test_pokes_a_private_name() -> None:
    sources = [*MODULES.values(), *(file for file in (TOP / "plugins").rglob("*.py"))]
    ours = {name for file in sources for name in private_names(file) if private(name)}
    poked = {
        file.name: (set(touched(file)) & ours) - set(private_names(file)) for file in (TOP / "tests").rglob("*.py")
    }
    assert {name: found for name, found in poked.items() if found} == {}
