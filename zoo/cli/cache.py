"""``zoo cache``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.item_names import unknown
from zoo.cli.output import note, say, say_json, say_table
from zoo.cli.shared_options import AsJson
from zoo.errors import UsageError
from zoo.support.formatting import plural, size

if TYPE_CHECKING:
    from zoo.data.dataset_cache import Entry

SHORT = 12
"""Characters of a key that are shown; as many as tell it from others may be typed."""


def cache(
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY...", help="Only the entries whose keys start with this; default: all."),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove the entries. They are decoded again when a run needs them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the decoded images and unpacked archives that are cached: their size, and when they were last used.

    If the cache exceeds its limit (ZOO_CACHE_LIMIT, in GB), the least recently used decoded images are removed.
    Unpacked archives are removed by --clear only. The original archives and images, and all other files in the data
    folder, are never changed.
    """
    from zoo.data import dataset_cache as store

    entries = store.entries()
    chosen = list(
        {entry.key: entry for entry in (entries if not keys else [_find(entries, key) for key in keys])}.values()
    )
    if clear:
        freed = store.clear([entry.key for entry in chosen] if keys else None)
        if as_json:
            say_json({"path": store.folder(), "cleared": [entry.key for entry in chosen], "freed": freed})
        else:
            say(f"{plural(len(chosen), 'entry')} cleared, {size(freed)} freed")
        return
    total, limit = sum(entry.size for entry in entries), store.limit()
    if as_json:
        say_json(
            {"path": store.folder(), "size": total, "limit": limit, "entries": [as_dict(entry) for entry in chosen]}
        )
        return
    if chosen:
        say_table(["key", "size", "last used", "what"], [_row(entry) for entry in chosen], flexible=3)
    held = f"{plural(len(entries), 'entry')}, {size(total)}" if entries else "empty"
    note(f"{store.folder()}: {held}; at most {size(limit)}")


def as_dict(entry: Entry) -> dict[str, Any]:
    times = {"created": entry.created.isoformat(timespec="seconds"), "used": entry.used.isoformat(timespec="seconds")}
    return {"key": entry.key, "path": str(entry.path), "size": entry.size, **times, "description": entry.description}


def _row(entry: Entry) -> list[str]:
    about = entry.description
    what = f"{about.get('dataset', '–')}: " + ", ".join(
        f"{name} {value}" for name, value in about.items() if name != "dataset" and value is not None
    )
    return [entry.key[:SHORT], size(entry.size), entry.used.astimezone().strftime("%Y-%m-%d %H:%M"), what]


def _find(entries: list[Entry], start: str) -> Entry:
    found = [entry for entry in entries if entry.key.startswith(start)]
    if not found:
        raise unknown("cache entry", start, [entry.key for entry in entries], "see `zoo cache`")
    if len(found) > 1:
        raise UsageError(f"{plural(len(found), 'key')} begin with '{start}'", fix="type more of it")
    return found[0]
