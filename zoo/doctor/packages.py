"""Python, the zoo itself and the packages it asks for."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

from packaging.requirements import Requirement

from zoo.doctor.finding import Finding
from zoo.registry.distributions import CORE

RIVALS = ("onnxruntime", "onnxruntime-gpu")
"""Distributions that install the same module: with both, what runs is whichever was installed last."""


def interpreter() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding(
        "python",
        "ok",
        f"{version} on {platform.platform(terse=True)}, {sys.executable}",
        facts={"version": version, "path": sys.executable},
    )


def core() -> Iterator[Finding]:
    try:
        distribution = metadata.distribution(CORE)
    except metadata.PackageNotFoundError:
        yield Finding(
            CORE, "problem", "is not installed: no plugin can be found", fix="pip install . in the project's folder"
        )
        return
    folder = editable_folder(distribution)
    how = f"an editable install of {folder}" if folder else f"installed in {distribution.locate_file('')}"
    facts = {
        "version": distribution.version,
        "editable": folder is not None,
        "folder": str(folder or distribution.locate_file("")),
    }
    yield Finding(CORE, "ok", f"{distribution.version}, {how}", facts=facts)


def editable_folder(distribution: metadata.Distribution) -> Path | None:
    """The project's folder of an editable install, else None."""
    direct = json.loads(distribution.read_text("direct_url.json") or "{}")
    editable = direct.get("dir_info", {}).get("editable", False)
    return Path(unquote(urlparse(direct["url"]).path)) if editable else None


def requirements() -> Iterator[Finding]:
    """Every package that the zoo's metadata asks for on this machine."""
    versions: dict[str, str] = {}
    for line in metadata.requires(CORE) or []:
        required = Requirement(line)
        if required.marker and not required.marker.evaluate({"extra": ""}):
            continue
        asked = f"{required.name}{required.specifier}"
        try:
            versions[required.name] = metadata.version(required.name)
        except metadata.PackageNotFoundError:
            yield Finding(required.name, "problem", "is not installed", fix=f"pip install '{asked}'")
            continue
        if not required.specifier.contains(versions[required.name], prereleases=True):
            yield Finding(
                required.name,
                "problem",
                f"{versions[required.name]} is not {required.specifier}",
                fix=f"pip install '{asked}'",
            )
    yield Finding(
        "packages", "ok", ", ".join(f"{name} {version}" for name, version in versions.items()), facts=versions
    )


def rival_runtimes() -> Iterator[Finding]:
    installed = [name for name in RIVALS if _is_installed(name)]
    if len(installed) > 1:
        names = " and ".join(installed)
        yield Finding(
            "onnxruntime",
            "warning",
            f"{names} are both installed, and overwrite each other",
            fix=f"uninstall both, install {RIVALS[-1]}",
        )


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
