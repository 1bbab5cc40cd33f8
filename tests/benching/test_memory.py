"""The memory of an engine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from zoo.benching.memory import PeakMemory, resident

MIB = 1 << 20


def test_the_peak_is_that_since_the_reset() -> None:
    memory = PeakMemory("cpu")
    memory.reset()
    block = bytearray(64 * MIB)
    block[::4096] = b"x" * len(block[::4096])
    assert resident() > 64 * MIB
    del block
    first = memory.peak()
    assert first is not None and first > 48 * MIB
    memory.reset()
    second = memory.peak()
    if sys.platform == "linux" and Path("/proc/self/clear_refs").exists():
        assert second is not None and second < first - 32 * MIB


def test_the_memory_of_a_device_without_torch_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    memory = PeakMemory("coreml")
    memory.reset()
    assert memory.peak() is None
