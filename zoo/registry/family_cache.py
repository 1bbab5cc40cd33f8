"""The names of a family and the specs of its members, asked for once and remembered in the user's cache for as long as
its plugin and its library stay the same: a spec of a large library is then known without importing it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from zoo.api import ArchitectureSpec, Family
from zoo.contract.base import Name
from zoo.errors import StorageError, UsageError
from zoo.support.atomic_files import storage_errors, write_json
from zoo.support.paths import cache_root
from zoo.support.untrusted_files import read_text

# CACHE/families/NAMESPACE.NAME.json           {"of": [distribution and files, the library's version], "names": [...]}
# CACHE/families/NAMESPACE.NAME/MEMBER.json    {"of": the same, "spec": {...}}


def listed(key: str, distribution: str, family: Family) -> Sequence[str]:
    """The members of the family ``key`` (``namespace/name``) that ``distribution``, given with its version and the
    state of its files, has.

    Raises what the family raises, and ValueError where a name is none (`zoo.api.Name`).
    """
    of = [distribution, family.version]
    place = _place(f"{key.replace('/', '.')}.json")
    names = _remembered(place, of, "names")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    names = _asked(family)
    _remember(place, {"of": of, "names": names})
    return names


def spec_of(key: str, distribution: str, family: Family, name: str, package: str) -> Any:
    """What the family ``key`` says of a member, remembered if it is a spec whose code is that of ``package``.

    Raises what the family raises.
    """
    of = [distribution, family.version]
    place = _place(key.replace("/", "."), f"{name}.json")
    with suppress(ValidationError):
        kept = ArchitectureSpec.model_validate(_remembered(place, of, "spec"))
        if kept.name == name and _is_of(package, kept):
            return kept
    spec = family.spec(name)
    if isinstance(spec, ArchitectureSpec) and _is_of(package, spec):
        told = spec.model_dump(mode="json")
        if ArchitectureSpec.model_validate(json.loads(json.dumps(told))) == spec:
            _remember(place, {"of": of, "spec": told})
    return spec


def _is_of(package: str, spec: ArchitectureSpec) -> bool:
    """Whether all code that the spec names is in this package: a file in the cache can name no other."""
    modules = [reference.partition(":")[0] for reference in (spec.target, spec.options) if reference is not None]
    return all(module == package or module.startswith(f"{package}.") for module in modules)


def _asked(family: Family) -> list[str]:
    return TypeAdapter(list[Name]).validate_python(list(family.names()))


def _place(*parts: str) -> Path | None:
    """None where nothing can be kept: then each process asks."""
    try:
        return cache_root().joinpath("families", *parts)
    except UsageError:
        return None


def _remembered(place: Path | None, of: list[str], what: str) -> Any:
    """None where there is no such file, or a damaged one, or one about other versions."""
    if place is None:
        return None
    try:
        kept = json.loads(read_text(place))
        return kept[what] if kept["of"] == of else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(place: Path | None, facts: dict[str, Any]) -> None:
    if place is None:
        return
    with suppress(StorageError):
        with storage_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place, facts)
