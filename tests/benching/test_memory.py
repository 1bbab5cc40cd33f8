"""The memory of an engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from zoo.benching import memory
from zoo.benching.memory import PeakMemory

MIB = 1 << 20


PEAKS = """
import sys
from pathlib import Path
from zoo.benching import memory
MIB = 1 << 20
if sys.argv[1:]:
    memory.RESET = Path(sys.argv[1])
measured = memory.PeakMemory("cpu")
measured.reset()
block = bytearray(64 * MIB)
block[::4096] = b"x" * len(block[::4096])
assert memory.resident() > 64 * MIB
del block
first = measured.peak()
measured.reset()
print(first, measured.peak())
"""


def peaks_around_a_reset(*reset: Path) -> list[int]:
    """Return the peak after 64 MiB were taken and given back, and the peak after the next reset, of a new process: this
    one may have had a larger peak before."""
    found = subprocess.run([sys.executable, "-c", PEAKS, *map(str, reset)], check=True, capture_output=True, text=True)
    return [int(each) for each in found.stdout.split()]


def test_the_peak_is_that_since_the_reset() -> None:
    if not memory.reset_peak():
        pytest.skip("this system cannot reset the peak memory of a process")
    first, second = peaks_around_a_reset()
    assert first > 48 * MIB and second < first - 32 * MIB


def test_where_the_peak_cannot_be_reset_it_is_that_since_the_start(tmp_path: Path) -> None:
    first, second = peaks_around_a_reset(tmp_path / "absent" / "clear_refs")
    assert second >= first > 48 * MIB


def test_the_memory_of_a_device_without_torch_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    measured = PeakMemory("coreml")
    measured.reset()
    assert measured.peak() is None
