"""What a tracker is given, and what it must do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from zoo.api import Exported, RunStarted

PROJECT = "zoo"
"""The project, or experiment, of all runs; the client's own variable changes it where there is one."""


@dataclass(frozen=True)
class TrackedRun:
    """The facts of a run that trackers store.

    ``key`` identifies the run of zoo, so that a resumed run continues the same tracked run: it is a digest of the
    run's id and of its time of creation. ``settings`` are the configuration and the facts of run.json, flat; empty if
    the run ended before. ``resumed``: the tracked run exists, unless nothing was tracked at that time.
    """

    key: str
    name: str
    folder: Path
    settings: dict[str, str | int | float | bool]
    resumed: bool

    @classmethod
    def of(cls, event: RunStarted | Exported, folder: Path) -> Self:
        record = event.record
        key = hashlib.sha256(f"{record['id']}\0{record['created']}".encode()).hexdigest()[:16]
        if not isinstance(event, RunStarted):
            return cls(key, str(record["id"]), folder, {}, True)
        facts = {name: record.get(name) for name in ("parameters", "trainable", "macs", "fingerprint", "git_commit")}
        settings = flat({**event.as_dict()["config"], "run": {**facts, "folder": str(folder.absolute())}})
        return cls(key, str(record["id"]), folder, dict(settings), event.resumed)


class Tracker(Protocol):
    """A run in an experiment tracker. It is created, or continued if it exists, when the object is built.

    ``where`` is one line that says how to look at it.
    """

    where: str

    def __init__(self, run: TrackedRun) -> None: ...

    def last_step(self, metric: str) -> int:
        """Return the last step with a value of this metric; -1 if there is none, or if the client cannot know."""
        ...

    def log(self, values: Mapping[str, float], step: int) -> None: ...

    def refer(self, name: str, target: str) -> None:
        """Store the path of an artefact."""
        ...

    def close(self, status: str) -> None:
        """``status`` is that of `zoo.api.RunEnded`."""
        ...


def flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, str | int | float | bool]]:
    """Return the dotted keys of nested settings with their values; lists as JSON, without empty values."""
    found: list[tuple[str, str | int | float | bool]] = []
    for key, value in values.items():
        name = f"{above}.{key}" if above else key
        if isinstance(value, Mapping):
            found += flat(value, name)
        elif isinstance(value, str | int | float):
            found.append((name, value))
        elif value:
            found.append((name, json.dumps(value)))
    return found
