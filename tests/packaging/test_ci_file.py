"""The workflow for a public host: its structure, and that what its lanes call is here. No host has run it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

TOP = Path(__file__).parents[2]
FILE = yaml.safe_load((TOP / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
JOBS: dict[str, Any] = FILE["jobs"]
LANES = {"lint", "test", "minimum", "newest", "platform", "wheel", "docs", "docker"}
TARGETS = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
TOOLS = {"ruff", "mypy", "python"}


def commands(job: str) -> list[list[str]]:
    return [shlex.split(step["run"]) for step in JOBS[job]["steps"] if "run" in step]


def test_the_lanes() -> None:
    assert set(JOBS) == LANES
    assert JOBS["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert JOBS["platform"]["strategy"]["matrix"]["os"] == ["macos-14", "windows-latest"]


def test_it_may_read_the_sources_and_nothing_else() -> None:
    assert FILE["permissions"] == {"contents": "read"}
    assert all("permissions" not in job and "env" not in job for job in JOBS.values())
    assert "secrets." not in (TOP / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("job", sorted(LANES))
def test_a_lane_ends_and_names_versions_of_its_actions(job: str) -> None:
    assert JOBS[job]["timeout-minutes"] <= 120
    uses = [step["uses"] for step in JOBS[job]["steps"] if "uses" in step]
    assert uses[0] == "actions/checkout@v4"
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", each) for each in uses)


def test_a_newer_push_stops_the_older_one() -> None:
    assert FILE["concurrency"]["cancel-in-progress"] is True
    assert "github.ref" in FILE["concurrency"]["group"]


@pytest.mark.parametrize("job", sorted(LANES))
def test_what_a_lane_calls_exists(job: str) -> None:
    assert commands(job)
    for command in commands(job):
        if command[0] == "make":
            target, *variables = command[1:]
            assert target in TARGETS
            for variable in variables:
                name, _, value = variable.partition("=")
                assert name == "CONSTRAINTS"
                assert (TOP / value).exists()
        elif command[0] == "docker":
            assert command[1] in ("build", "run")
        else:
            assert Path(command[0]).name in TOOLS
            assert not command[0].startswith(".venv/") or commands(job)[0][:2] == ["make", "setup"]


def test_python_of_a_lane_is_supported() -> None:
    text = (TOP / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    named = set(re.findall(r'"(3\.\d+)"', text))
    classifiers = (TOP / "pyproject.toml").read_text(encoding="utf-8")
    assert named == {version for version in ("3.11", "3.12", "3.13") if f"Python :: {version}" in classifiers}
