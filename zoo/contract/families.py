"""Families: libraries of architectures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zoo.contract.specs import ArchitectureSpec


class Family(Protocol):
    """A library of architectures: lists their names, and describes one on demand. `FamilySpec.target` refers to it."""

    @property
    def version(self) -> str:
        """The version of the library. Zoo caches `names` until it changes."""
        ...

    def names(self) -> Sequence[str]:
        """Return the names of all members. It may take seconds and read files, but must not import torch or numpy."""
        ...

    def spec(self, name: str) -> ArchitectureSpec:
        """Return the spec of one member, with that name. It may import the library.

        Raises KeyError if there is no such member.
        """
        ...
