"""Targets of datasets: determination, validation and display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.api import (
    JSON,
    Classes,
    Dataset,
    DatasetSpec,
    Mask,
    MultiLabel,
    NoTarget,
    Opaque,
    Target,
    Values,
)
from zoo.data.target_summary import names_with_units
from zoo.errors import DataError, PluginError, report_to
from zoo.registry.lookup import Item

DTYPES: dict[str, str] = {"classes": "int64", "multi_label": "uint8", "values": "float32", "mask": "uint8"}
"""Of the arrays of each kind; those of opaque targets have their own."""
SHOWN = 3
"""Values or labels of a target that are written out."""


def target_of(item: Item[DatasetSpec], dataset: Dataset) -> Target:
    """Return the target of the opened dataset, otherwise the classes of its spec.

    Raises PluginError if neither is given, or if the kind is not in the spec.
    """
    spec, found = item.spec, dataset.target
    if found is None and spec.targets == ("none",):
        return NoTarget()
    if found is None and spec.classes and "classes" in spec.targets:
        return Classes(names=spec.classes)
    if found is None:
        names = "classes" if "classes" in spec.targets else "names of its targets"
        raise _wrong(item, f"neither the dataset nor its spec gives the {names}")
    if found.kind not in spec.targets:
        raise _wrong(item, f"its targets are {found.kind}, but its spec has {' or '.join(spec.targets)}")
    return found


def checked_targets(item: Item[DatasetSpec], target: Target, name: str, targets: Any, count: int) -> Any:
    """Return the targets of split ``name`` with ``count`` images, as an array of their kind's dtype; mask files stay
    files.

    Raises PluginError if they are not of that kind, DataError if a value is out of range.
    """
    if isinstance(target, Mask) and _are_files(targets):
        found: Any = list(targets)
    else:
        found = as_array(item, f"the {_word(target)} of split '{name}'", targets)
        _check_shape(item, target, name, found)
    if len(found) != count:
        raise _wrong(item, f"split '{name}' has {count} images, but {len(found)} {_word(target)}")
    if isinstance(found, np.ndarray):
        _check_range(item, target, name, found)
        found = np.asarray(found, DTYPES.get(target.kind, getattr(target, "dtype", None)))
    return found


def _are_files(targets: Any) -> bool:
    return isinstance(targets, Sequence) and all(isinstance(each, Path) for each in targets)


def _word(target: Target) -> str:
    return {"classes": "labels", "multi_label": "labels", "mask": "masks"}.get(target.kind, "targets")


def _due(item: Item[DatasetSpec], target: Target) -> tuple[str, tuple[int | None, ...], str]:
    """Return the accepted dtype kinds (numpy's letters), the shape of one target (None: any), and both in words.

    Raises PluginError if the dtype of an opaque target is not numeric.
    """
    match target:
        case Classes():
            return "iu", (), "integers (N,)"
        case MultiLabel():
            return "iub", (len(target.names),), f"0 or 1 (N, {len(target.names)})"
        case Values():
            return "fiu", (len(target.names),), f"numbers (N, {len(target.names)})"
        case Mask():
            return "u", (None, None), "uint8 (N, H, W)"
        case Opaque():
            sides = "".join(f", {'any' if side is None else side}" for side in target.shape) or ","
            return _opaque_dtype(item, target).kind, target.shape, f"{target.dtype} (N{sides})"
        case NoTarget():
            return "", (), ""


def _opaque_dtype(item: Item[DatasetSpec], target: Opaque) -> np.dtype[Any]:
    try:
        found = np.dtype(target.dtype)
    except TypeError as error:
        raise _wrong(item, f"its targets have the dtype '{target.dtype}', which numpy does not have") from error
    if found.kind not in "biufc":
        raise _wrong(item, f"its targets have the dtype '{target.dtype}', which is not numeric")
    return found


def _check_shape(item: Item[DatasetSpec], target: Target, name: str, values: np.ndarray) -> None:
    if isinstance(target, NoTarget):
        raise _wrong(item, f"split '{name}' has targets, but the dataset declares none")
    kinds, shape, words = _due(item, target)
    fits = values.dtype.kind in kinds and values.ndim == 1 + len(shape)
    if isinstance(target, Opaque):  # opaque targets are not converted
        fits = fits and values.dtype == np.dtype(target.dtype)
    if not fits or any(due not in (None, found) for due, found in zip(shape, values.shape[1:], strict=True)):
        what = f"the {_word(target)} of split '{name}'"
        raise _wrong(item, f"{what} must be {words}, not {values.dtype} {values.shape}")


def _check_range(item: Item[DatasetSpec], target: Target, name: str, values: np.ndarray) -> None:
    if not values.size:
        return
    if isinstance(target, Values):
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(np.float32))
        if not finite.all():
            row, column = map(int, np.argwhere(~finite)[0])
            raise DataError(
                f"split '{name}' has the target {values[row, column]:g} ({target.names[column]} of sample {row}), "
                "which is not finite as float32",
                where=item.canonical,
                fix="correct the targets of the data",
            )
    if isinstance(target, Values | Opaque | NoTarget):
        return
    most = 1 if isinstance(target, MultiLabel) else len(target.names) - 1
    counted = values[values != target.ignore] if isinstance(target, Mask) and target.ignore is not None else values
    low, high = (int(counted.min()), int(counted.max())) if counted.size else (0, 0)
    if low < 0 or high > most:
        wrong = high if high > most else low
        raise DataError(
            f"split '{name}' has the {'label' if isinstance(target, Classes) else 'value'} {wrong}, outside 0…{most}",
            where=item.canonical,
            fix=f"correct the {_word(target)} of the data",
        )


def as_array(item: Item[DatasetSpec], what: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:  # rows of different lengths
        raise _wrong(item, f"{what} are not an array: {error}") from error


def _wrong(item: Item[DatasetSpec], what: str) -> PluginError:
    return PluginError(what, where=item.canonical, fix=report_to(item.plugin.distribution))


def describe_target(target: Target, value: Any) -> str:
    """Return one sample's target for titles and tables: the class, the labels, or the values with their units.

    Masks are described by their classes; opaque targets give an empty string.
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
    """Like `describe_target`, for a row of a column; empty without targets."""
    return "" if targets is None else describe_target(target, targets[index])


def truth_columns(target: Target) -> list[str]:
    """The header of the cells that `truth_cells` gives: a column for each of a target's values, one for any other."""
    return [f"truth {name}" for name in names_with_units(target)] if isinstance(target, Values) else ["truth"]


def truth_cells(target: Target, value: Any | None) -> list[str]:
    """One sample's target as cells of a table, empty where it has none."""
    if value is None:
        return [""] * len(truth_columns(target))
    if isinstance(target, Values):
        return [format(float(number), ".9g") for number in value]
    if isinstance(target, MultiLabel):  # as in the cells of predictions
        return [";".join(name for name, here in zip(target.names, value, strict=True) if here)]
    return [describe_target(target, value)]


def truth_facts(target: Target, value: Any | None) -> JSON | str | None:
    """One sample's target as JSON: numbers by name, any other in words."""
    if value is None:
        return None
    if isinstance(target, Values):
        return dict(zip(target.names, map(float, value), strict=True))
    return describe_target(target, value)
