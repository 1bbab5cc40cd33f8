"""The targets of a dataset: which they are, whether a split's are of that kind, and how one of them is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.api import Classes, Dataset, DatasetSpec, Mask, MultiLabel, NoTarget, Opaque, Target, Values, target_names
from zoo.errors import DataError, PluginError
from zoo.registry.lookup import Item

DTYPES: dict[str, str] = {"classes": "int64", "multi_label": "uint8", "values": "float32", "mask": "uint8"}
"""Of the arrays of each kind; those of opaque targets have their own."""
SHOWN = 3
"""Values or labels of a target that are written out."""


def target_of(item: Item[DatasetSpec], dataset: Dataset) -> Target:
    """What the opened dataset says, else one of the classes that its spec names.

    Raises PluginError where neither does, or where it is of a kind that the spec does not name.
    """
    spec, found = item.spec, dataset.target
    if found is None and spec.targets == ("none",):
        return NoTarget()
    if found is None and spec.classes:
        return Classes(names=spec.classes)
    if found is None:
        raise _wrong(item, "neither the dataset nor its spec says what the classes are")
    if found.kind not in spec.targets:
        raise _wrong(item, f"its targets are {found.kind}, and its spec says {' or '.join(spec.targets)}")
    return found


def class_names(target: Target) -> tuple[str, ...]:
    """Those of single-label classification; empty for every other target."""
    return target.names if isinstance(target, Classes) else ()


def checked_targets(item: Item[DatasetSpec], target: Target, name: str, targets: Any, count: int) -> Any:
    """The targets of split ``name``, of so many images, as an array of their kind's dtype; files of masks stay files.

    Raises PluginError where they are none of that kind, DataError where a value is out of range.
    """
    if isinstance(target, Mask) and _are_files(targets):
        found: Any = list(targets)
    else:
        found = as_array(item, f"the {_word(target)} of split '{name}'", targets)
        _check_shape(item, target, name, found)
    if len(found) != count:
        raise _wrong(item, f"split '{name}' has {count} images and {len(found)} {_word(target)}")
    if isinstance(found, np.ndarray):
        _check_range(item, target, name, found)
        found = np.asarray(found, DTYPES.get(target.kind, getattr(target, "dtype", None)))
    return found


def _are_files(targets: Any) -> bool:
    return isinstance(targets, Sequence) and all(isinstance(each, Path) for each in targets)


def _word(target: Target) -> str:
    return {"classes": "labels", "multi_label": "labels", "mask": "masks"}.get(target.kind, "targets")


def _due(target: Target) -> tuple[str, int | None]:
    """The kinds of dtype that are taken (numpy's letters), and the number of dimensions."""
    match target:
        case Classes():
            return "iu", 1
        case MultiLabel():
            return "iub", 2
        case Values():
            return "fiu", 2
        case Mask():
            return "u", 3
        case Opaque():
            return np.dtype(target.dtype).kind, 1 + len(target.shape)
        case _:
            return "", None


def _check_shape(item: Item[DatasetSpec], target: Target, name: str, values: np.ndarray) -> None:
    kinds, dimensions = _due(target)
    if isinstance(target, Classes) and (values.ndim != 1 or values.dtype.kind not in kinds):
        raise _wrong(item, f"the labels of split '{name}' must be integers (N,), not {values.dtype} {values.shape}")
    width = None if isinstance(target, Classes | Mask | Opaque) else len(target_names(target))
    sides = target.shape if isinstance(target, Opaque) else (width,)[: 0 if width is None else 1]
    fits = values.dtype.kind in kinds and values.ndim == dimensions
    if not fits or any(due not in (None, found) for due, found in zip(sides, values.shape[1:], strict=False)):
        shape = {"mask": "uint8 (N, H, W)"}.get(target.kind, f"(N, {', '.join(map(str, sides))})")
        raise _wrong(item, f"the {_word(target)} of split '{name}' must be {shape}, not {values.dtype} {values.shape}")


def _check_range(item: Item[DatasetSpec], target: Target, name: str, values: np.ndarray) -> None:
    if not values.size:
        return
    if isinstance(target, Values) and not np.isfinite(values).all():
        raise DataError(f"split '{name}' has targets that are not finite", where=item.canonical, fix="correct the data")
    if isinstance(target, Values | Opaque | NoTarget):
        return
    most = 1 if isinstance(target, MultiLabel) else len(target.names) - 1
    counted = values[values != target.ignore] if isinstance(target, Mask) and target.ignore is not None else values
    low, high = (int(counted.min()), int(counted.max())) if counted.size else (0, 0)
    if low < 0 or high > most:
        wrong = high if high > most else low
        raise DataError(
            f"split '{name}' has the label {wrong}, outside 0…{most}",
            where=item.canonical,
            fix="correct the labels of the data",
        )


def as_array(item: Item[DatasetSpec], what: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:  # rows of different lengths
        raise _wrong(item, f"{what} are no array: {error}") from error


def _wrong(item: Item[DatasetSpec], what: str) -> PluginError:
    return PluginError(what, where=item.canonical, fix=f"report it to the authors of {item.plugin.distribution}")


def describe_target(target: Target, value: Any) -> str:
    """One sample's target in words, for titles and tables: the class, the labels, or the numbers with their units.

    Masks are described by the classes in them, opaque targets not at all.
    """
    match target:
        case Classes():
            return target.names[int(value)]
        case MultiLabel():
            return "; ".join(name for name, here in zip(target.names, value, strict=True) if here)
        case Values():
            units = target.units or ("",) * len(target.names)
            told = [f"{number:.6g} {unit}".strip() for number, unit in zip(value, units, strict=True)]
            return "; ".join(told)
        case Mask():
            present = [int(each) for each in np.unique(value) if int(each) != target.ignore]
            more = f" and {len(present) - SHOWN} more" if len(present) > SHOWN else ""
            return "; ".join(target.names[each] for each in present[:SHOWN]) + more
        case _:
            return ""


def described(target: Target, targets: np.ndarray | None, index: int) -> str:
    """As `describe_target`, of a column; empty where there is none."""
    return "" if targets is None else describe_target(target, targets[index])
