"""The memory of the machine, or of the container that the process runs in."""

from __future__ import annotations

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def container_limit() -> int | None:
    """Bytes that a Linux container may use (cgroup v2), or None where nothing limits it."""
    try:
        return int((CGROUP / "memory.max").read_text(encoding="ascii"))
    except (OSError, ValueError):  # ValueError: "max"
        return None


def available_memory() -> int:
    """Bytes that can be used without swapping, by this process and others. Files that the system keeps in memory count
    as available."""
    import psutil

    free, limit = int(psutil.virtual_memory().available), container_limit()
    if limit is None:
        return free
    used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
    lines = (line.split() for line in (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
    files = {name: int(value) for name, value in lines}.get("inactive_file", 0)
    return max(0, min(free, limit - used + files))
