"""Short descriptions of targets, for messages; nothing here imports numpy."""

from __future__ import annotations

from zoo.api import Target, Values, target_names


def names_with_units(target: Target) -> list[str]:
    """Return the names of a target, values with their units: ``x (cm)``."""
    names = target_names(target)
    if not isinstance(target, Values) or not target.units:
        return list(names)
    return [f"{name} ({unit})" if unit else name for name, unit in zip(names, target.units, strict=True)]


def summary(target: Target, most: int = 5) -> str:
    """Return the kind and the first names of a target: ``classes cat, dog``, ``values x (cm), y (cm)``."""
    names = names_with_units(target)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{target.kind} {', '.join(names[:most])}{more}".strip()
