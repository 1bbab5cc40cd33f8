"""What the distribution of a plugin says before the plugin is imported: whose name and module it claims, and which zoo
it requires."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

from zoo.registry.catalogue import LOCAL, State
from zoo.registry.core_commands import COMMANDS

CORE = "torch-zoo"


class Refused(Exception):
    """Why a plugin is not taken; ``state`` is what it becomes."""

    def __init__(self, state: State, cause: str) -> None:
        super().__init__(cause)
        self.state: State = state


def distribution_of(point: metadata.EntryPoint) -> str:
    return str(point.dist.metadata["Name"]) if point.dist else "unknown"


def version_of(point: metadata.EntryPoint) -> str:
    return point.dist.version if point.dist else "unknown"


def refuse_conflict(
    point: metadata.EntryPoint, claims: Counter[str], first_party: set[str], found: list[metadata.EntryPoint]
) -> None:
    if point.name in COMMANDS:
        raise Refused(
            "conflict",
            f"`zoo {point.name}` is a command of the core; fix: {distribution_of(point)} must name its entry point "
            "otherwise",
        )
    if point.name == LOCAL:
        raise Refused(
            "conflict",
            f"the namespace '{LOCAL}' is that of zoo.register; fix: {distribution_of(point)} must name its entry point "
            "otherwise",
        )
    if claims[point.name] > 1 and not (point.name in first_party and distribution_of(point) == CORE):
        others = sorted(
            {distribution_of(other) for other in found if other.name == point.name} - {distribution_of(point)}
        )
        owner = f"'{point.name}' is reserved for {CORE}" if point.name in first_party else "both claim the name"
        names = " and ".join([distribution_of(point), *others])
        raise Refused(
            "conflict", f"{names}: {owner} '{point.name}'" if point.name not in first_party else f"{names}: {owner}"
        )
    if point.dist is None:
        return
    module = point.module.partition(".")[0]
    found_spec = importlib.util.find_spec(module)
    if found_spec is None or found_spec.origin is None:
        return  # importing it will say what is wrong
    if not _owns(point.dist, Path(found_spec.origin)):
        raise Refused(
            "conflict",
            f"module '{module}' is imported from {found_spec.origin}, which {distribution_of(point)} did not install",
        )


def _owns(distribution: metadata.Distribution, origin: Path) -> bool:
    """Whether a file belongs to a distribution: it is in its RECORD or, where that is an editable install, in its
    project's folder."""
    direct = json.loads(distribution.read_text("direct_url.json") or "{}")
    if direct.get("dir_info", {}).get("editable"):
        project, installed = (
            Path(unquote(urlparse(direct["url"]).path)).resolve(),
            Path(str(distribution.locate_file(""))).resolve(),
        )
        # A virtual environment inside the project's folder is not the project: what other wheels put there is not its
        # own.
        return origin.resolve().is_relative_to(project) and not origin.resolve().is_relative_to(installed)
    files = distribution.files
    if files is None:
        return True  # a distribution without a RECORD cannot tell
    wanted = origin.resolve()
    return any(file.name == wanted.name and Path(str(file.locate())).resolve() == wanted for file in files)


def refuse_incompatible(point: metadata.EntryPoint) -> None:
    for line in (point.dist.requires or []) if point.dist else []:
        if not line.lower().replace("_", "-").startswith(CORE):
            continue
        from packaging.requirements import Requirement
        from packaging.version import Version

        required, here = Requirement(line), metadata.version(CORE)
        if required.name.lower().replace("_", "-") != CORE or (
            required.marker and not required.marker.evaluate({"extra": ""})
        ):
            continue
        if not required.specifier.contains(here, prereleases=True):
            newer = any(Version(each.version.removesuffix(".*")) > Version(here) for each in required.specifier)
            upgrade = CORE if newer else distribution_of(point)
            raise Refused(
                "incompatible",
                f"it requires {CORE}{required.specifier}, and {here} is installed; fix: upgrade {upgrade}",
            )
