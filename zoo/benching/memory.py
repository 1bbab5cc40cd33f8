"""The memory that the process of an engine takes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import psutil

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(psutil.Process().memory_info().rss)


class PeakMemory:
    """The peak of the memory during a turn, minus the memory at the start of the process.

    On the CPU it is the resident memory. It is reset before each turn on Linux; elsewhere it is the peak since the
    start. On CUDA it is the memory that torch has allocated on the device.
    """

    def __init__(self, place: str) -> None:
        """``place`` is the device or execution provider, such as ``"cpu"``."""
        self._on_cpu, self._base = place == "cpu", resident()

    @property
    def loaded(self) -> int:
        """The growth of the resident memory so far."""
        return resident() - self._base

    def reset(self) -> None:
        if self._on_cpu:
            reset_peak()
        elif (torch := _torch_on_cuda()) is not None:
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int | None:
        """Return the peak in bytes since `reset`; None on a device whose memory is not known."""
        if self._on_cpu:
            return _peak() - self._base
        torch = _torch_on_cuda()
        return None if torch is None else int(torch.cuda.max_memory_allocated())


def _torch_on_cuda() -> Any:
    """Return torch if this process has used CUDA through it, otherwise None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


def reset_peak() -> bool:
    """Reset the peak; return False where the system cannot: then it is the peak since the start of the process."""
    try:
        RESET.write_text("5", encoding="ascii")  # resets VmHWM, see proc(5)
    except OSError:  # another system, or a container that does not allow it
        return False
    return True


def _peak() -> int:
    if STATUS.exists():
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
        if found:
            return found[0]
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
