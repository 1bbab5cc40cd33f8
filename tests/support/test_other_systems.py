"""The main commands on a system with Windows' restrictions (see other_system.py), whose console is cp1252."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).with_name("other_system.py")
GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0"
COMMANDS = [
    ["list"],
    ["run", "fnn", "--data", "folder:images", "--set", "dataset.resize=8", "--device", "cpu", "--name", "own"],
    ["run", "--resume", "unfinished", "--inexact"],
    ["verify", "unfinished"],
    ["evaluate", "unfinished", "--json"],
    ["export", "unfinished", "--onnx", "--out", "bundle"],
    ["export", "unfinished", "--onnx", "--out", "bundle"],
    ["predict", "bundle", "images", "--json"],
    ["predict", "own", "images"],
    ["report", "own"],
    ["doctor"],
    ["data", "check", "folder:images", "--json"],
    ["run", "fnn", "--data", "digits", "--name", "nul"],
]
REFUSED = {" ".join(COMMANDS[-1]): 2}
"""The name of a device."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems are imitated on Linux")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    numbers = np.random.default_rng(0)
    for name in ("dark", "caf€😀 ж"):
        place = tmp_path / "images" / name
        place.mkdir(parents=True)
        for index in range(12):
            pixels = numbers.integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(place / f"ж{index}.png")
    shutil.copytree(GOLDEN / "unfinished", tmp_path / "unfinished")
    return tmp_path


@pytest.mark.slow
def test_every_command_works_with_what_windows_has(folder: Path) -> None:
    words = [sys.executable, "-X", "warn_default_encoding", "-W", "ignore", str(SCRIPT), json.dumps(COMMANDS), "codes"]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, encoding="cp1252", check=False)
    assert done.returncode == 0, done.stderr
    codes = json.loads((folder / "codes").read_text(encoding="utf-8"))
    assert {name: code for name, code in codes.items() if code != REFUSED.get(name, 0)} == {}, done.stdout + done.stderr
    assert "'nul' is not a valid run name: Windows reserves it for a device" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in folder.rglob("*.tmp")) == []
