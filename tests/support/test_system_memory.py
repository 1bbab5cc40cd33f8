"""The memory that can be used, with and without the limit of a container."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from zoo.support import system_memory
from zoo.support.system_memory import available_memory, container_limit


def test_without_a_limit_it_is_that_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_memory, "CGROUP", tmp_path)
    assert container_limit() is None
    assert available_memory() == pytest.approx(psutil.virtual_memory().available, rel=0.1)
    (tmp_path / "memory.max").write_text("max\n")
    assert container_limit() is None


def test_a_container_has_what_is_left_of_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in memory that were not used for a while are given up when memory is needed."""
    monkeypatch.setattr(system_memory, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.current").write_text("250000000\n")
    (tmp_path / "memory.stat").write_text("anon 200000000\ninactive_file 30000000\n")
    assert available_memory() == 80_000_000
    (tmp_path / "memory.current").write_text("400000000\n")
    assert available_memory() == 0
