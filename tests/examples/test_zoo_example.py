"""A third party's plugin: built as a wheel, installed beside the core, listed, held to the contract, trained and
exported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "zoo-example"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An environment for subprocesses in which the plugin's built wheel is installed."""
    folder = tmp_path_factory.mktemp("example")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(EXAMPLE)]
    _run(build, os.environ)
    wheel = next((folder / "dist").glob("*.whl"))
    _run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder / "site"), str(wheel)],
        os.environ,
    )
    path = os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH")]))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ZOO_")} | {
        "PYTHONPATH": path,
        "ZOO_OFFLINE": "1",
    }
    return folder, environment


def _run(command, environment, cwd=None):
    told = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False)
    assert told.returncode == 0, f"{command}\n{told.stdout}\n{told.stderr}"
    return told.stdout


def zoo(installed, *words):
    folder, environment = installed
    return _run([sys.executable, "-P", "-m", "zoo", *words], environment, cwd=folder)


def test_it_is_listed_with_all_it_gives(installed) -> None:
    plugins = {each["namespace"]: each for each in json.loads(zoo(installed, "plugins", "--json"))}
    assert plugins["example"]["state"] == "ok"
    listed = zoo(installed, "list", "--plugin", "example")
    assert all(name in listed for name in ("sepnet", "shapes", "focal", "shapes_sepnet"))


def test_it_trains_and_exports_like_any_other(installed) -> None:
    folder, _ = installed
    told = zoo(installed, "run", "shapes_sepnet", "--device", "cpu", "--name", "first")
    assert "accuracy" in told
    record = json.loads((folder / "runs" / "shapes_sepnet" / "first" / "run.json").read_text())
    assert record["task"] == "example/focal"
    assert record["results"]["test"]["accuracy"] > 0.9
    assert record["plugins"]["example"] == "zoo-example 0.1.0"
    told = zoo(installed, "export", "shapes_sepnet", "--onnx")
    assert "first" in told
    verified = json.loads((folder / "exports" / "shapes_sepnet" / "verify.json").read_text())
    assert verified["real"]["dataset"] == "example/shapes"
    assert verified["real"]["decisions_agree"] == verified["real"]["samples"]


def test_its_own_tests_pass(installed) -> None:
    folder, environment = installed
    told = _run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")],
        environment,
        cwd=folder,
    )
    assert " passed" in told
