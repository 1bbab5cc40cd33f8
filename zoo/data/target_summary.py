"""Targets in a few words, for messages; nothing here imports numpy."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.api import Target, Values, target_names


def summary(target: Target, most: int = 5) -> str:
    """Which targets these are, with the first of their names: ``classes cat, dog``, ``values x (cm), y (cm)``."""
    names: Sequence[str] = target_names(target)
    if isinstance(target, Values) and target.units:
        names = [f"{name} ({unit})" if unit else name for name, unit in zip(names, target.units, strict=True)]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{target.kind} {', '.join(names[:most])}{more}".strip()
