"""The names of a family, asked for once and remembered in the user's cache for as long as its plugin and its library
stay the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import TypeAdapter

from zoo.api import Family
from zoo.contract.base import Name
from zoo.errors import StorageError, UsageError
from zoo.support.atomic_files import storage_errors, write_json
from zoo.support.paths import cache_root
from zoo.support.untrusted_files import read_text

# CACHE/families/NAMESPACE.NAME.json    {"of": [distribution and files, the library's version], "names": [...]}


def listed(key: str, distribution: str, family: Family) -> Sequence[str]:
    """The members of the family ``key`` (``namespace/name``) that ``distribution``, given with its version and the
    state of its files, has.

    Raises what the family raises, and ValueError where a name is none (`zoo.api.Name`).
    """
    of = [distribution, family.version]
    try:
        place = cache_root() / "families" / f"{key.replace('/', '.')}.json"
    except UsageError:  # where nothing can be kept, each process asks
        return _asked(family)
    names = _remembered(place, of)
    if names is None:
        names = _asked(family)
        with suppress(StorageError):
            _remember(place, of, names)
    return names


def _asked(family: Family) -> list[str]:
    return TypeAdapter(list[Name]).validate_python(list(family.names()))


def _remembered(place: Path, of: list[str]) -> list[str] | None:
    """None where there is no such file, or a damaged one, or one about other versions."""
    try:
        kept = json.loads(read_text(place))
        names = kept["names"] if kept["of"] == of else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _remember(place: Path, of: list[str], names: list[str]) -> None:
    with storage_errors(place):
        place.parent.mkdir(parents=True, exist_ok=True)
    write_json(place, {"of": of, "names": names})
