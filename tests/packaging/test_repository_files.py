"""Files that a public host reads: CITATION.cff, SECURITY.md, issue forms, the checklist for a release."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from zoo.registry.core_commands import COMMANDS

TOP = Path(__file__).parents[2]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORMS = sorted((TOP / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_the_citation_has_what_cff_1_2_0_requires() -> None:
    """https://github.com/citation-file-format/citation-file-format/blob/main/schema-guide.md"""
    cff = yaml.safe_load((TOP / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cff)
    assert cff["cff-version"] == "1.2.0"
    assert cff["type"] in ("software", "dataset")
    assert all({"name"} <= set(author) or {"family-names"} <= set(author) for author in cff["authors"])
    assert str(cff["version"]) == PROJECT["version"]
    assert cff["license"] == PROJECT["license"]


@pytest.mark.parametrize("file", [form for form in FORMS if form.stem != "config"], ids=lambda form: form.stem)
def test_a_form_has_what_the_host_requires(file: Path) -> None:
    form = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form)
    inputs = [item for item in form["body"] if item["type"] != "markdown"]
    assert all(item["attributes"]["label"] and item["id"] for item in inputs)
    assert len({item["id"] for item in inputs}) == len(inputs)


def test_a_bug_report_asks_for_what_we_need() -> None:
    text = (TOP / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text(encoding="utf-8")
    assert "zoo doctor --json" in text
    assert "zoo --version" in text


def test_commands_that_these_files_name_exist() -> None:
    pages = [TOP / "SECURITY.md", *FORMS, TOP / "docs" / "install.md", TOP / "docs" / "releasing.md"]
    named = {word for page in pages for word in re.findall(r"`zoo ([a-z]+)", page.read_text(encoding="utf-8"))}
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/install.md", "docs/releasing.md"])
def test_links_lead_to_files(page: str) -> None:
    file = TOP / page
    links = re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8"))
    assert all((file.parent / link).exists() for link in links)


def test_make_targets_of_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in ("docs/install.md", "docs/releasing.md"):
        named = re.findall(r"\bmake ([a-z-]+)", (TOP / page).read_text(encoding="utf-8"))
        assert set(named) - {"docs"} <= targets
