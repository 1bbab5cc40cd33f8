"""Some of the random and damaged inputs that `make reliability` tries by the ten thousand."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import fuzzing
import inputs
import pytest
from mutations import Mutator

COUNT = 38
"""Inputs of each kind: 300 in all."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, dict[str, int]], str]:
    """By kind, from a process of its own: the harness forks, which a process with threads should not."""
    out = tmp_path_factory.mktemp("fuzz") / "results.json"
    script = Path(fuzzing.__file__)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script), "--count", str(COUNT), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    return (json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}), done.stdout + done.stderr


@pytest.mark.parametrize("kind", inputs.KINDS)
def test_random_and_damaged_inputs_end_in_a_line(results, kind: str) -> None:
    found, told = results
    assert kind in found, told[-3000:]
    assert found[kind]["inputs"] == COUNT
    assert found[kind]["wrong"] == 0, "\n".join(line for line in told.splitlines() if line.startswith(kind))


def test_an_input_is_a_function_of_its_number() -> None:
    content = bytes(range(256)) * 4
    first, again, other = (Mutator(random.Random(f"images {number}")).bytes(content) for number in (3, 3, 4))
    assert first == again != other
