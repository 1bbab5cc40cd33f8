"""Where things live. Each place has one environment variable."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def data_root() -> Path:
    """``ZOO_DATA``: datasets and weights, in the layouts people already have. Default: the platform's user cache."""
    if "ZOO_DATA" in os.environ:
        return Path(os.environ["ZOO_DATA"]).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("zoo") / "data"


def cache_root() -> Path:
    """``ZOO_CACHE``: what was decoded from a dataset's files, to be mapped into memory. Default: the platform's user cache."""
    if "ZOO_CACHE" in os.environ:
        return Path(os.environ["ZOO_CACHE"]).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("zoo") / "cache"


def runs_root() -> Path:
    """``ZOO_RUNS``: run directories. Default: ``./runs``."""
    return Path(os.environ.get("ZOO_RUNS", "runs")).expanduser()


def exports_root() -> Path:
    """``ZOO_EXPORTS``: exported bundles. Default: ``./exports``."""
    return Path(os.environ.get("ZOO_EXPORTS", "exports")).expanduser()


def offline() -> bool:
    """``ZOO_OFFLINE=1`` forbids every download."""
    return os.environ.get("ZOO_OFFLINE", "") not in ("", "0")


def machine() -> dict[str, str]:
    """Facts about this machine that a figure should be read with."""
    return {"system": platform.platform(terse=True), "python": platform.python_version(), "processor": processor(), "cpus": str(os.cpu_count())}


def processor() -> str:
    """Its model, where the system tells; Python itself knows only the kind on Linux."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()
