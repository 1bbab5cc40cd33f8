"""predict.py on a console whose encoding lacks the characters of a file's name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.mark.parametrize(("encoding", "shown"), [("cp1252", "é\\U0001f600.png"), ("ascii", "\\xe9\\U0001f600.png")])
def test_a_name_is_shown_with_escapes(
    bundle_model: Path, put_client: Callable[[Path], Path], tmp_path: Path, encoding: str, shown: str
) -> None:
    image = tmp_path / "é😀.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(image)
    predict = str(put_client(bundle_model.parent))
    command = [sys.executable, predict, image.name, "missing-😀.png", "--model", str(bundle_model)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(command[:3] + command[4:], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.stdout.decode(encoding).startswith(f"{shown}: dark")
    assert done.returncode == 0, done.stderr
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.stderr.decode(encoding).startswith("error: ")
    assert "Traceback" not in done.stderr.decode(encoding)
