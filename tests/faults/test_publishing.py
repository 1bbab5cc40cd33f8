"""A part of what `make reliability` does: some publishers killed, and some reads of a bundle that is being replaced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import publishing
import pytest

KILLS, READS = 8, 600

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def test_no_reader_sees_half_a_bundle_or_calls_one_altered(tmp_path: Path) -> None:
    """In a process of its own: the harness forks, which a process with threads should not."""
    command = [sys.executable, publishing.__file__, "--kills", str(KILLS), "--reads", str(READS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out.json")], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (found["killed"]["kills"], found["killed"]["wrong"], found["killed"]["after kills"]) == (KILLS, 0, [])
    assert (found["read"]["reads"], found["read"]["wrong"]) == (READS, 0)
