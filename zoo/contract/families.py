"""Families: the many architectures of a library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zoo.contract.specs import ArchitectureSpec


class Family(Protocol):
    """What a `FamilySpec` names: architectures of a library, known by name long before one is described."""

    @property
    def version(self) -> str:
        """What the names depend on, as the version of the library; they are asked for once and remembered for as long
        as this stays."""
        ...

    def names(self) -> Sequence[str]:
        """Every member. This may take seconds and read files; importing torch or numpy here is a fault."""
        ...

    def spec(self, name: str) -> ArchitectureSpec:
        """One member, under that name; the library may be imported now. Raises KeyError where there is none."""
        ...
