"""Third-party state dicts: find the network's state dict in a file, and adapt its names to the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.errors import CheckpointError, UsageError
from zoo.support.formatting import plural

WRAPPERS = ("module", "_orig_mod", "model", "backbone", "network", "net")
"""Prefixes that DataParallel, torch.compile and training frameworks add to the names."""
MAX_DEPTH = 4
COUNTER = ".num_batches_tracked"
OPTION = "--weights-key"


class StateDict(NamedTuple):
    """Tensors by name, and notes about changed names, in words that follow "read"."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


# ---------------------------------------------------------------------------------------------- in what a trainer saved


def state_of(content: Any, key: str | None, where: object) -> StateDict:
    """Return the state dict in a saved object: the object itself, its only network, or the one under ``key``, without
    the prefixes of wrappers.

    Raises CheckpointError if there is none, UsageError if there are several and no ``key``, or if ``key`` is unknown.
    """
    known = dict(_networks(content))
    if not known:
        raise CheckpointError(
            f"this file holds a {type(content).__name__}, not named tensors",
            where=where,
            fix="save only the state dict of the network",
        )
    if key is None and len(known) > 1:
        raise _several(list(known), where)
    if key is not None and key not in known:
        return _unwrapped(_under(key, next(iter(known.values())), list(known), where), (f"under '{key}'",))
    place = next(iter(known)) if key is None else key
    return _unwrapped(dict(known[place]), (f"under '{place}'",) if place else ())


def _networks(content: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Yield every mapping of names to tensors that looks like a network, with its dotted key; the content itself may be
    one."""
    if not isinstance(content, Mapping) or depth > MAX_DEPTH:
        return
    if content and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
        # The state of a loss scaler or a counter is not a network.
        if not place or any(value.ndim > 1 for value in content.values()):
            yield place, content
        return
    for name, value in content.items():
        if isinstance(name, str):
            yield from _networks(value, f"{place}.{name}" if place else name, depth + 1)


def _unwrapped(tensors: Mapping[str, Tensor], notes: tuple[str, ...]) -> StateDict:
    """Return the tensors without the prefixes of `WRAPPERS` that all names share."""
    removed = ""
    names = list(tensors)
    while (wrapper := names[0].partition(".")[0]) in WRAPPERS and all(name.startswith(f"{wrapper}.") for name in names):
        removed += f"{wrapper}."
        names = [name.removeprefix(f"{wrapper}.") for name in names]
    told = (*notes, f"without the prefix '{removed}'") if removed else notes
    return StateDict({name.removeprefix(removed): value for name, value in tensors.items()}, told)


# ------------------------------------------------------------------------------------------------------ for one network


def fit_to(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], key: str | None = None, where: object = None
) -> StateDict:
    """Return ``tensors`` under the names of a network with the state dict ``own``.

    A common prefix is removed or added. Batch norm's ``num_batches_tracked``, which older files lack, starts at 0.
    `zoo.models.building.load_state` reports tensors that are still missing or unknown.

    Raises UsageError if several networks in the file fit and ``key`` selects none.
    """
    chosen = dict(tensors) if key is None else _under(key, tensors, [], where)
    notes = [] if key is None else [f"under '{key}'"]
    prefix = _prefix(list(chosen), own, where)
    if prefix and all(name.startswith(prefix) for name in chosen):
        chosen = {name.removeprefix(prefix): value for name, value in chosen.items()}
        notes.append(f"without the prefix '{prefix}'")
    elif not prefix and not own.keys() & chosen.keys() and (before := _prefix(list(own), chosen, where)):
        chosen = {f"{before}{name}": value for name, value in chosen.items()}
        notes.append(f"with the prefix '{before}' added")
    counters = [
        name
        for name in own
        if name.endswith(COUNTER) and name not in chosen and f"{name.removesuffix(COUNTER)}.running_mean" in chosen
    ]
    if counters:
        chosen |= {name: torch.zeros_like(own[name], device="cpu") for name in counters}
        notes.append(f"with {plural(len(counters), 'missing counter')} (num_batches_tracked) starting at 0")
    return StateDict(chosen, tuple(notes))


def _prefix(names: Sequence[str], wanted: Collection[str], where: object) -> str:
    """Return the prefix (``"module."``, or an empty string) with which ``names`` contain at least half of
    ``wanted``."""
    counts = Counter(prefix for name in names for prefix in _prefixes(name) if name.removeprefix(prefix) in wanted)
    most = max(counts.values(), default=0)
    if 2 * most < len(wanted) or counts[""] == most:
        return ""
    fitting = [prefix for prefix, count in counts.items() if 2 * count > most]
    if len(fitting) > 1:
        raise _several([prefix.removesuffix(".") for prefix in fitting], where)
    return fitting[0]


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (f"{'.'.join(parts[:count])}." if count else "" for count in range(min(len(parts), MAX_DEPTH + 1)))


def head_shape(shapes: Mapping[str, tuple[int, ...]], head: str, key: str | None = None) -> tuple[int, ...] | None:
    """Return the shape of the head's weights in a file, with any prefix; None if there are none."""
    wanted = f"{head}.weight"
    names = [
        name
        for name in shapes
        if (name == wanted or name.endswith(f".{wanted}")) and (key is None or name.startswith(f"{key}."))
    ]
    return shapes[min(names, key=len)] if names else None


def _under(key: str, tensors: Mapping[str, Tensor], known: list[str], where: object) -> dict[str, Tensor]:
    found = {name.removeprefix(f"{key}."): value for name, value in tensors.items() if name.startswith(f"{key}.")}
    if not found:
        groups = [name for name in known if name] or list(dict.fromkeys(name.partition(".")[0] for name in tensors))
        raise UsageError(
            f"there is no '{key}' in these weights",
            where=where,
            fix=f"remove {OPTION}, or choose one of: {', '.join(groups[:10])}",
        )
    return found


def _several(names: Sequence[str], where: object) -> UsageError:
    listed = ", ".join(f"'{name}'" for name in names[:10])
    return UsageError(
        f"there are several networks in these weights: {listed}", where=where, fix=f"choose one: {OPTION} {names[-1]}"
    )
