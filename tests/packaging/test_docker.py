"""The Dockerfile: that what it copies and installs is here. It has not been built (docs/install.md)."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

TOP = Path(__file__).parents[2]
TEXT = (TOP / "Dockerfile").read_text(encoding="utf-8")
STAGES = dict(re.findall(r"^FROM (\S+) AS (\w+)$", TEXT, re.MULTILINE))
IGNORED = (TOP / ".dockerignore").read_text(encoding="utf-8").splitlines()


def copied() -> set[str]:
    lines = [shlex.split(line)[1:-1] for line in TEXT.splitlines() if line.startswith("COPY ")]
    return {source for sources in lines for source in sources}


def test_two_targets_on_a_slim_base() -> None:
    assert STAGES == {"python:${PYTHON}-slim": "base", "base": "cuda"} or set(STAGES.values()) >= {"base", "cuda"}
    assert re.findall(r"^FROM base AS (\w+)$", TEXT, re.MULTILINE) == ["cpu", "cuda"]
    for target in ("cpu", "cuda"):
        assert f"--target {target}" in TEXT


def test_what_is_copied_exists_and_is_sent() -> None:
    assert all((TOP / source).exists() for source in copied())
    assert copied() == {line.removeprefix("!") for line in IGNORED if line.startswith("!")}


def test_what_the_wheel_needs_is_copied() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    needed = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml", "zoo", "plugins"}
    assert needed <= copied()
    extras = re.findall(r"'\.\[(\w+)\]'", TEXT)
    assert extras
    assert set(extras) <= set(project["project"]["optional-dependencies"])


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_zoo_runs_as_a_user_with_its_places_as_volumes(target: str) -> None:
    stage = TEXT.partition(f"FROM base AS {target}\n")[2].partition("\nFROM ")[0]
    assert "USER zoo\n" in stage
    assert 'ENTRYPOINT ["zoo"]' in stage
    volumes = re.findall(r'"(/zoo/\w+)"', stage)
    assert volumes == [re.search(rf"{name}=(\S+)", TEXT)[1] for name in ("ZOO_DATA", "ZOO_RUNS", "ZOO_EXPORTS")]  # type: ignore[index]


def test_the_cpu_target_asks_for_onnxruntime_without_cuda() -> None:
    """The sed expressions of the Dockerfile, as Python's: one place for each kind of requirement."""
    text = (TOP / "pyproject.toml").read_text(encoding="utf-8")
    assert """-e '/"onnxruntime-gpu/d' -e 's/"\\(onnxruntime>=[0-9.]*\\);[^"]*"/"\\1"/'""" in TEXT
    lines = [line for line in text.splitlines(keepends=True) if '"onnxruntime-gpu' not in line]
    changed = re.sub(r'"(onnxruntime>=[0-9.]*);[^"]*"', r'"\1"', "".join(lines))
    found = [Requirement(line) for line in tomllib.loads(changed)["project"]["dependencies"]]
    (runtime,) = [each for each in found if each.name.startswith("onnxruntime")]
    assert (runtime.name, runtime.marker) == ("onnxruntime", None)
    assert len(found) == text.count(">=", text.index("\ndependencies"), text.index("[project.optional")) - 1
