"""Folders, downloads and the environment variables in force."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from zoo.data import dataset_cache
from zoo.doctor.finding import Finding, Level
from zoo.errors import UsageError, nearest
from zoo.support import paths
from zoo.support.environment_variables import SECRET, SWITCHES, VARIABLES
from zoo.support.formatting import size

PREFIX = "ZOO_"
LITTLE_SPACE = 1e9
"""Free bytes below which a folder is worth a warning."""
FOLDERS = {
    "data": ("ZOO_DATA", paths.data_root),
    "runs": ("ZOO_RUNS", paths.runs_root),
    "exports": ("ZOO_EXPORTS", paths.exports_root),
    "cache": ("ZOO_CACHE", paths.cache_root),
}


def folders() -> Iterator[Finding]:
    for name, (variable, place) in FOLDERS.items():
        try:
            yield _folder(name, variable, place().absolute())
        except UsageError as error:
            yield Finding(name, "problem", f"{error.what} ({error.where})", error.fix, {"path": str(error.where)})


def _folder(name: str, variable: str, path: Path) -> Finding:
    """A folder that is not there yet is checked by the one it would be made in."""
    above = next(folder for folder in (path, *path.parents) if folder.exists())
    facts = {"path": str(path), "exists": path.is_dir()}
    writable, free = is_writable(above), shutil.disk_usage(above).free
    facts |= {"writable": writable, "free": free}
    says = f"{path}{'' if path.is_dir() else ', created when needed'}; {size(free)} free"
    if not writable:
        # data that lies there can be used all the same
        level: Level = "warning" if name == "data" and path.is_dir() else "problem"
        return Finding(name, level, f"{path} cannot be written to", f"set {variable} to a folder that can", facts)
    if free < LITTLE_SPACE:
        return Finding(name, "warning", says, f"free some space, or set {variable} to a folder on another disk", facts)
    return Finding(name, "ok", says, facts=facts)


def is_writable(folder: Path) -> bool:
    """Return whether a folder is writable, by writing: permissions do not show read-only file systems and quotas."""
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"zoo")
            stream.flush()
    except OSError:
        return False
    return True


def cached() -> Iterator[Finding]:
    total, limit = sum(entry.size for entry in dataset_cache.entries()), dataset_cache.limit()
    yield Finding(
        "cached",
        "ok",
        f"{size(total)} of decoded images; limit: {size(limit)}",
        facts={"size": total, "limit": limit},
    )


def network() -> Iterator[Finding]:
    if paths.offline():
        yield Finding(
            "network",
            "ok",
            "downloads are disabled (ZOO_OFFLINE=1): a command that needs a missing file fails",
            facts={"offline": True},
        )
    else:
        yield Finding(
            "network",
            "ok",
            "files that a command needs are downloaded if they are missing (ZOO_OFFLINE=1 disables downloads)",
            facts={"offline": False},
        )


def environment() -> Iterator[Finding]:
    """Report every ZOO_ variable that is set, with a warning for unknown ones, which have no effect.

    Only values that are known not to be secret are printed; an unknown variable may hold a key of something else.
    """
    for name, value in sorted(os.environ.items()):
        if not name.startswith(PREFIX):
            continue
        known = name in VARIABLES
        facts = {"value": value if known and name not in SECRET else None, "known": known}
        if not known:
            near = nearest(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in VARIABLES], count=1)
            fix = f"did you mean {PREFIX}{near[0]}?" if near else f"choose one of: {', '.join(VARIABLES)}"
            yield Finding(name, "warning", "is not a variable of zoo", fix, facts)
        elif name in SECRET:
            yield Finding(name, "ok", f"is set ({VARIABLES[name]})", facts=facts)
        elif name in SWITCHES and value not in ("", "0", "1"):
            yield Finding(
                name, "warning", f"={value} is neither 0 nor 1", f"set it to 1, or unset it; {VARIABLES[name]}", facts
            )
        else:
            yield Finding(name, "ok", f"={value} ({VARIABLES[name]})", facts=facts)
