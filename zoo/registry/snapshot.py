"""What is installed, remembered from one command to the next, so that `zoo list`, help and completion import no plugin.

A snapshot is valid as long as nothing that it was made from has changed: Python and its search path, the installed
distributions, and the files of zoo and of the packages that registered something. It is for display: what a command
executes always comes from the plugins themselves. Where anything is unusual (a plugin that is not ok, a variable that
changes what is loaded) there is no snapshot, and commands discover plugins as ever.
"""

# CACHE/installed/ENVIRONMENT.json
# {"state": digest, "packages": [folders and files], "core": version, "contract": version, "plugins": [...],
#  "names": {family: [members]}, "commands": the command line as `zoo.cli.grammar` has it}

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from zoo.errors import StorageError, UsageError
from zoo.registry.catalogue import Catalogue, Plugin
from zoo.support.paths import cache_root, setting
from zoo.support.untrusted_files import RECORD_LIMIT, read_text

RECORDS = ("METADATA", "RECORD", "entry_points.txt", "direct_url.json")
"""Files of an installed distribution that say what it is, and what it registers."""
FILE_LIMIT = 20_000
"""Packages of plugins with more files than this are not watched, and nothing is remembered."""


class Listed(NamedTuple):
    """What is shown of a spec without its plugin."""

    name: str
    summary: str
    path_option: str | None = None


class Snapshot(NamedTuple):
    """What was remembered: versions of zoo and of its contract, the catalogue, and the command line."""

    core: str
    contract: str
    catalogue: Catalogue
    commands: dict[str, Any]


def read() -> Snapshot | None:
    """The snapshot of this environment; None where there is none, or a damaged one, or one that is out of date."""
    if _unusual():
        return None
    try:
        kept = json.loads(read_text(_place(), RECORD_LIMIT))
        if kept["state"] != _state(kept["packages"]):
            return None
        plugins = [_plugin(each) for each in kept["plugins"]]
        return Snapshot(kept["core"], kept["contract"], Catalogue(plugins, kept["names"]), kept["commands"])
    except (OSError, UsageError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(core: str, contract: str, catalogue: Catalogue, commands: dict[str, Any]) -> None:
    """Remember ``catalogue`` and ``commands`` (JSON data); where that cannot be done, nothing is remembered."""
    ok = all(plugin.state == "ok" and not plugin.warnings for plugin in catalogue.plugins)
    if _unusual() or not ok or catalogue.faults:
        return
    from zoo.support.atomic_files import storage_errors, write_json

    packages = sorted({path for plugin in catalogue.plugins for path in _package(plugin.module)} | set(_package("zoo")))
    with suppress(StorageError, OSError, UsageError, ValueError):
        place = _place()
        with storage_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        kept = {
            "state": _state(packages),
            "packages": packages,
            "core": core,
            "contract": contract,
            "plugins": [_as_dict(plugin) for plugin in catalogue.plugins],
            "names": {family: sorted(names) for family, names in catalogue.names.items()},
            "commands": commands,
        }
        write_json(place, kept)


def _unusual() -> bool:
    return any(setting(name) for name in ("ZOO_DISABLE_PLUGINS", "ZOO_STRICT_PLUGINS"))


def _as_dict(plugin: Plugin) -> dict[str, Any]:
    specs = {
        kind: [[spec.name, spec.summary, getattr(spec, "path_option", None)] for spec in items]
        for kind, items in plugin.specs.items()
    }
    facts = (plugin.namespace, plugin.distribution, plugin.version, plugin.module, plugin.contract, plugin.note)
    return {"facts": facts, "specs": specs}


def _plugin(kept: dict[str, Any]) -> Plugin:
    namespace, distribution, version, module, contract, note = kept["facts"]
    specs: dict[str, list[Any]] = {kind: [Listed(*each) for each in items] for kind, items in kept["specs"].items()}
    return Plugin(namespace, distribution, version, module, specs=specs, contract=contract, note=note)


# ----------------------------------------------------------------------------------------------- what it was made from


def _place() -> Path:
    """A file for each environment: several with one cache do not replace each other's."""
    environment = [sys.prefix, sys.executable, sys.version, sys.platform, *sys.path]
    return cache_root() / "installed" / f"{_digest(environment)}.json"


def _package(module: str) -> Iterator[str]:
    """The folders of the package that an imported module is in, or the file of a module that is in none."""
    found = sys.modules.get(module.partition(":")[0].partition(".")[0])
    file = getattr(found, "__file__", None)
    paths = getattr(found, "__path__", None)
    yield from (str(Path(each).resolve()) for each in (paths or ([file] if file else [])))


def package_state(module: str) -> str:
    """Return a digest of the files of the package that an imported module is in: names, sizes, times of change."""
    try:
        return _digest(list(_files(list(_package(module)))))
    except (OSError, ValueError):  # too many files, or not readable: its version has to do
        return ""


def _state(packages: Sequence[str]) -> str:
    """A digest of what is installed and of every file of ``packages``: names, sizes, times of change."""
    return _digest([*_distributions(), *_files(packages)])


def _distributions() -> Iterator[str]:
    for folder in dict.fromkeys(sys.path):
        try:
            listed = os.listdir(folder or ".")  # noqa: PTH208  # hundreds of names, and no need of a Path for each
        except OSError:  # a folder that does not exist, an archive
            continue
        for name in sorted(each for each in listed if each.endswith((".dist-info", ".egg-info"))):
            yield f"{folder}/{name}"
            yield from (_stamp(os.path.join(folder, name, record)) for record in RECORDS)  # noqa: PTH118


def _files(packages: Sequence[str]) -> Iterator[str]:
    count, pending = 0, list(packages)
    while pending:
        path = pending.pop()
        if not os.path.isdir(path):  # noqa: PTH112
            yield f"{path} {_stamp(path)}"
            continue
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                count += 1
                if count > FILE_LIMIT:
                    raise ValueError(f"more than {FILE_LIMIT} files")
                if entry.is_dir():
                    pending += [entry.path] if entry.name != "__pycache__" else []
                else:
                    found = entry.stat()
                    yield f"{entry.path} {found.st_size} {found.st_mtime_ns}"


def _stamp(path: str) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return "-"
    return f"{found.st_size} {found.st_mtime_ns}"


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:32]
