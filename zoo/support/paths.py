"""The folders of zoo. Each has an environment variable."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from zoo.errors import UsageError

DRAWINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".pdf", ".svg", ".eps")
"""Suffixes that a plot can be written with."""


def setting(name: str) -> str:
    """Return the value of an environment variable, or ``""`` if it is unset or blank."""
    return os.environ.get(name, "").strip()


def check_drawing(file: Path | None) -> None:
    """Check the file name of a plot before the work is done. Raises UsageError."""
    if file is None:
        return
    if file.suffix.lower() not in DRAWINGS:
        raise UsageError(
            f"a plot cannot be written as '{file.name}'",
            where=file,
            fix=f"name a file that ends in {', '.join(DRAWINGS)}",
        )
    if file.is_dir():
        raise UsageError("the plot would be a folder", where=file, fix="name a file, for example plot.png")


def user_path(text: str | Path) -> Path:
    """Return a path from the user, with a leading ~ or ~name expanded.

    Raises UsageError if there is no such home folder.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"there is no home folder '{Path(text).parts[0]}'", where=text, fix="write the path in full"
        ) from error


def optional_path(text: str | Path | None) -> Path | None:
    """None, or the path as `user_path` has it."""
    return None if text is None else user_path(text)


def data_root() -> Path:
    """``ZOO_DATA``: datasets and weights. Default: the platform's user cache."""
    if place := setting("ZOO_DATA"):
        return user_path(place)
    from platformdirs import user_cache_path

    return user_cache_path("zoo") / "data"


def cache_root() -> Path:
    """``ZOO_CACHE``: decoded images, features and unpacked archives.

    Default: the platform's user cache.
    """
    if place := setting("ZOO_CACHE"):
        return user_path(place)
    from platformdirs import user_cache_path

    return user_cache_path("zoo") / "cache"


def runs_root() -> Path:
    """``ZOO_RUNS``: run directories. Default: ``./runs``."""
    return user_path(setting("ZOO_RUNS") or "runs")


def exports_root() -> Path:
    """``ZOO_EXPORTS``: exported bundles. Default: ``./exports``."""
    return user_path(setting("ZOO_EXPORTS") or "exports")


def offline() -> bool:
    """``ZOO_OFFLINE=1`` forbids every download."""
    return setting("ZOO_OFFLINE") not in ("", "0")


def machine() -> dict[str, str]:
    """Return facts about this machine that matter for measurements."""
    return {
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "processor": processor(),
        "cpus": str(os.cpu_count()),
    }


def processor() -> str:
    """Return the processor's model if known; on Linux, Python itself knows only the architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
