"""The result of a check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Level = Literal["info", "ok", "warning", "problem"]
"""``info``: something optional that is not here."""
ORDER: tuple[Level, ...] = ("info", "ok", "warning", "problem")


@dataclass(frozen=True)
class Finding:
    """One line of the report: ``says`` is the result, ``fix`` what to do about it, ``facts`` the same as JSON."""

    name: str
    level: Level
    says: str
    fix: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Check(Protocol):
    __name__: str

    def __call__(self) -> Iterable[Finding]: ...


def worst(levels: Iterable[Level]) -> Level:
    return max(levels, key=ORDER.index, default="ok")
