"""docs/bundle-format.md names every file and field of a real bundle, every step, and every decision."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo import runtime
from zoo.exporting.export import Bundle

sys.path.insert(0, str(Path(__file__).parent))

from described_bundles import CASES, write_bundle
from described_client import read_bundle

PAGE = (Path(__file__).parents[2] / "docs" / "bundle-format.md").read_text(encoding="utf-8")
OPEN = {
    "exporter.options",
    "requires",
    "evaluation.target",
    "evaluation.task",
    "evaluation.dataset",
    "versions",
    "files",
    "description.provenance.metrics",
    "description.provenance.licences.code.distributions",
    "real.accuracy.per_class",
    "reference.images.files",
    "reference.input",
    "reference.decision",
}
"""Objects whose keys are data, or another package's: names of files, packages, classes and options."""
STOP = {"description.input.steps", "description.output.decision"}
"""They have sections of their own."""


def section(title: str) -> str:
    """The text below a heading, down to the next one of its level."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,3}} |\Z)", PAGE, re.M | re.S)
    assert found is not None, f"the page has no section {title}"
    return found[2]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def missing(value: Any, names: set[str], path: str = "") -> Iterator[str]:
    """The paths of fields that ``names`` lack. ``parent.*`` stands for the fields of parent that are named alone."""
    if path in OPEN | STOP or not isinstance(value, dict):
        every = path.rpartition(".")[0] + ".*"
        alone = every in names and path.rpartition(".")[2] in names
        if not ({path, f"{path}[]"} & names or alone or (path in OPEN and _some_below(path, names))):
            yield path
        return
    for key, inner in value.items():
        yield from missing(inner, names, f"{path}.{key}" if path else key)


def _some_below(path: str, names: set[str]) -> bool:
    return any(name.startswith(f"{path}.*") for name in names)


def test_every_file_and_field_of_a_real_export_is_on_the_page(run_export: Callable[..., Bundle]) -> None:
    bundle = run_export(batch=3).path
    files = quoted(section("Files"))
    assert not [path.name for path in bundle.iterdir() if path.name not in files]
    for name in ("bundle.json", "verify.json"):
        names = quoted(section(name))
        content = json.loads((bundle / name).read_bytes())
        assert len(content) > 8 and list(missing(content, names)) == []
        content["description"] = {**content.get("description", {}), "new": 1}
        assert list(missing(content, names)) == ["description.new"]


def test_the_first_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    write_bundle(tmp_path / "exports" / "cnn_digits", CASES["cover"])
    monkeypatch.chdir(tmp_path)
    example = re.search(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    assert example is not None
    exec(example[1], {})  # noqa: S102
    assert capsys.readouterr().out.startswith("['decode', 'deep_grey_to_8_bits',")


def test_every_step_is_on_the_page_with_its_fields_and_values(tmp_path: Path) -> None:
    used = set()
    for name, case in CASES.items():
        for step in read_bundle(write_bundle(tmp_path / name.replace(" ", "-"), case))["description"]["input"]["steps"]:
            kind = step.pop("step")
            names = quoted(section(kind))
            used.add(kind)
            assert not [field for field in step if field not in names], kind
            constants = [value for value in step.values() if isinstance(value, str)]
            nested = [inner for value in step.values() if isinstance(value, dict) for inner in value.items()]
            constants += [text for pair in nested for text in pair if isinstance(text, str)]
            assert not [text for text in constants if text not in names], kind
    assert set(re.findall(r"^### (\w+)$", section_of_steps(), re.M)) == used


def section_of_steps() -> str:
    return PAGE[PAGE.index("\n## Steps\n") : PAGE.index("\n## Decisions\n")]


def test_every_decision_is_on_the_page_with_its_fields() -> None:
    for kind, fields in runtime.FIELDS.items():
        assert not set(fields) - quoted(section(kind)), kind
    for kind, shape in runtime.SIDES.items():
        assert f"`{kind}` ({', '.join(shape)})" in PAGE


def test_the_page_names_the_formats_that_are_read() -> None:
    assert runtime.FORMATS_OF_BUNDLES == (1, 2, 3) and "## Versions 1 and 2" in PAGE
