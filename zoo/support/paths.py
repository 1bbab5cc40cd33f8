"""The folders of zoo. Each has an environment variable."""

from __future__ import annotations

import os
import platform
import stat
from collections.abc import Callable
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


def relative(path: Path) -> Path:
    """Return a path as people read it: relative to the current folder if it is in there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def data_root() -> Path:
    """``ZOO_DATA``: datasets and weights. Default: the platform's user cache.

    Like the other folders, raises UsageError if it is a file, or below one.
    """
    return _folder("ZOO_DATA", lambda: _user_cache() / "data")


def cache_root() -> Path:
    """``ZOO_CACHE``: decoded images, features and unpacked archives.

    Default: the platform's user cache.
    """
    return _folder("ZOO_CACHE", lambda: _user_cache() / "cache")


def runs_root() -> Path:
    """``ZOO_RUNS``: run directories. Default: ``./runs``."""
    return _folder("ZOO_RUNS", lambda: Path("runs"))


def exports_root() -> Path:
    """``ZOO_EXPORTS``: exported bundles. Default: ``./exports``."""
    return _folder("ZOO_EXPORTS", lambda: Path("exports"))


def _folder(variable: str, default: Callable[[], Path]) -> Path:
    given = setting(variable)
    path = user_path(given) if given else default()
    fault = None
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            fault = "a file, not a folder"
    except NotADirectoryError:
        fault = "a folder below a file"
    except OSError:  # it is not there yet, or cannot be used: whoever uses it says so
        pass
    if fault is not None:
        said = f"{variable} names" if given else f"the default of {variable} is"
        raise UsageError(f"{said} {fault}", where=path, fix=f"set {variable} to another folder")
    return path


def _user_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("zoo")


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
