"""The wheel: its top-level names and what is inside; the set-up where it fails; that nothing of this project names a
place on a machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return next(folder.glob("*.whl"))


def test_the_top_level_names_are_zoo_and_zoo_something_only(wheel) -> None:
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    packages = {name for name in names if not name.endswith(".dist-info")}
    assert "zoo" in packages
    assert all(name == "zoo" or name.startswith("zoo_") for name in packages)
    assert packages == {"zoo", *(path.name for path in (ROOT / "plugins").iterdir() if path.name.startswith("zoo_"))}


def test_every_source_is_inside_and_so_is_the_licence(wheel) -> None:
    """An ignored folder of the name of a package is one that the build leaves out."""
    names = zipfile.ZipFile(wheel).namelist()
    sources = {
        str(file.relative_to(root))
        for root, folder in ((ROOT, "zoo"), (ROOT / "plugins", "."))
        for file in (root / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {
        "zoo/runs/plan.py",
        "zoo/exporting/card.md.j2",
        "zoo/py.typed",
        "zoo_classics/weights/cnn_mnist.safetensors",
    } <= sources
    assert sources == {name for name in names if ".dist-info/" not in name}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_every_first_party_plugin_has_an_entry_point_and_is_packaged() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {path.name for path in (ROOT / "plugins").iterdir() if path.name.startswith("zoo_")}
    assert set(project["project"]["entry-points"]["zoo"].values()) == folders
    assert {
        path.removeprefix("plugins/") for path in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    } == {"zoo", *folders}


def test_the_core_names_no_plugin() -> None:
    names = "|".join(path.name for path in (ROOT / "plugins").iterdir() if path.name.startswith("zoo_"))
    for file in (ROOT / "zoo").rglob("*.py"):
        for line in file.read_text(encoding="utf-8").splitlines():
            assert not re.search(rf"^\s*(from|import) ({names})\b", line), f"{file}: {line}"


def test_plugins_import_only_public_modules_of_the_core() -> None:
    for file in (ROOT / "plugins").rglob("*.py"):
        for line in file.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"from zoo[\w.]* import .*\b_\w+|from zoo\.[\w.]*\b_\w+ import", line), (
                f"{file}: {line}"
            )


IGNORED = "WARNING: Location 'file:///some/simple/networkx/' is ignored: it is neither a file nor a directory."


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "error: the disk is full: ",
        ),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'",
            "error: the packages could not be fetched ",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement torch (from versions: none)",
            "error: the packages could not be fetched ",
        ),
        (
            "ERROR: Cannot install a==1 because these package versions have conflicting dependencies.",
            "error: pip failed ",
        ),
    ],
)
def test_a_set_up_that_fails_tells_the_cause_and_is_not_taken_for_done(tmp_path, printed, told) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{IGNORED}\n{printed}\nEND\nexit 1\n")
    python.chmod(0o755)
    command = ["make", "-C", str(ROOT), "setup", f"VENV={tmp_path}", f"PYTHON={sys.executable}"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode != 0
    assert [line.startswith(told) for line in made.stdout.splitlines() if line.startswith("error: ")] == [True]
    assert "fix: " in made.stdout
    assert printed in (tmp_path / "pip.log").read_text()
    assert not (tmp_path / ".installed").exists()
