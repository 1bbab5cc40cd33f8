"""What a user's folder is: images with a class, with any number of labels, with numbers, or with masks.

The kind of the targets must be known before anything is opened, so that the task is chosen and unfit combinations are
refused. The rules, in order; ``dataset.target`` overrides them:

    folders images and masks          mask: a class for each pixel (`zoo_datasets.folder_masks`)
    no table                          classes: one for each folder, also if the same image is in several
    a column ``label``                classes, also if the cells are numbers
    a column ``labels`` or ``tags``   multi-label: the cells hold labels with a separator between them
    only cells 0 and 1                multi-label: a column for each label
    only numbers                      values: a column for each number, with its unit in brackets: ``weight [kg]``

A table is the CSV file of ``dataset.labels``, the path itself, or the only CSV file of a folder that has no folders of
classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from zoo.api import TargetKind
from zoo.errors import DataError
from zoo.plugin import is_image, user_path
from zoo_datasets.folder_layout import SPLITS, entries
from zoo_datasets.folder_table import COLUMNS, header_of, row_fault, rows
from zoo_datasets.options import FolderOptions

TABLES = (".csv", ".tsv")
IMAGES, MASKS = "images", "masks"
TAGS = ("labels", "tags")
"""Columns whose cells hold several labels."""


def target_kind(options: FolderOptions) -> TargetKind | None:
    """Return the kind of targets of a folder; None if it does not exist, which is reported when it is opened.

    Raises DataError if the columns of a table are of no kind.
    """
    if options.target != "auto":
        return options.target
    if not user_path(options.path).exists():
        return None
    if options.labels is None and has_masks(user_path(options.path)):
        return "mask"
    table = find_table(options)
    return "classes" if table is None or not table.is_file() else kind_of_table(table, options.columns)


def has_masks(root: Path) -> bool:
    """Return whether a folder is laid out as images and masks."""
    try:
        places = [root, *split_folders(root).values()]
        return any((place / IMAGES).is_dir() and (place / MASKS).is_dir() for place in places)
    except OSError:
        return False  # reported when the folder is opened


def split_folders(root: Path) -> dict[str, Path]:
    """Return the folders with the names of splits, by split."""
    folders = [path for path in entries(root) if path.is_dir()] if root.is_dir() else []
    return {SPLITS[path.name.lower()]: path for path in folders if path.name.lower() in SPLITS}


def find_table(options: FolderOptions) -> Path | None:
    """Return the CSV file of a folder, if it has one."""
    if options.labels is not None:
        return Path(options.labels)
    path = user_path(options.path)
    if path.is_file():
        return path if path.suffix.lower() in TABLES else None
    try:
        inside = [each for each in path.iterdir() if not each.name.startswith(".")]
        tables = [each for each in inside if each.suffix.lower() in TABLES and each.is_file()]
        folders = [each for each in inside if each.is_dir()]
        splits = any(each.name.lower() in SPLITS for each in folders)
        if len(tables) != 1 or splits or len(folders) > 1 or options.target == "classes":
            return None
        return None if folders and _has_folders(folders[0]) else tables[0]
    except OSError:
        return None  # reported when the folder is opened


def _has_folders(folder: Path) -> bool:
    return any(each.is_dir() for each in folder.iterdir() if not is_image(each))


def kind_of_table(table: Path, columns: Sequence[str] | None = None) -> TargetKind:
    """Return the kind of targets that the columns of a table hold. Raises DataError if they are of no kind."""
    status = table.stat()
    return _kind(table, None if columns is None else tuple(columns), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _kind(table: Path, columns: tuple[str, ...] | None, _modified: int, _size: int) -> TargetKind:
    """The file is read several times on the way to a run, and may be large."""
    header = header_of(table)
    if columns is None and "label" in header:
        return "classes"
    if columns is None and any(name in header for name in TAGS):
        return "multi_label"
    used = target_columns(header, "values", columns)
    if not used:
        return "classes"  # reported when it is read: it has no column for a target
    if len(used) == 1 and used[0] in ("label", *TAGS):
        return "classes" if used[0] == "label" else "multi_label"
    binary, numbers, fault = True, False, None
    for line, row in rows(table, used):
        for name in used:
            cell = row[name]
            found = _not_a_number(cell, name, table, line) if cell else None
            binary = binary and cell in ("", "0", "1")
            numbers = numbers or (cell != "" and found is None)
            fault = fault or found
    if not numbers:
        return "classes"  # reported when it is read: no column is called label
    if fault is not None:
        raise fault
    return "multi_label" if binary else "values"


def _not_a_number(cell: str, name: str, table: Path, line: int) -> DataError | None:
    try:
        number(cell)
    except ValueError as fault:
        return DataError(
            f"line {line}: column '{name}': {fault}",
            where=table,
            fix="correct the cell, or choose the columns: dataset.columns=[…]; a class for each image stands in a "
            "column label, several labels in a column labels",
        )
    return None


def number(cell: str) -> float:
    """Return the number in a cell. Raises ValueError with the fault."""
    try:
        found = float("" if "_" in cell else cell)
    except ValueError:
        point = cell.replace(",", ".", 1)
        hint = f" (write {point})" if point != cell and _is_number(point) else ""
        raise ValueError(f"'{cell}' is not a number{hint}") from None
    if not math.isfinite(found):
        raise ValueError(f"'{cell}' is not a finite number")
    return found


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def target_columns(header: Sequence[str], kind: TargetKind, columns: Sequence[str] | None = None) -> list[str]:
    """Return the columns that hold the targets: those asked for, otherwise the one that the kind is named for, or all
    others."""
    if columns is not None:
        return [each.strip() for each in columns]
    others = [name for name in header if name and name not in COLUMNS]
    match kind:
        case "classes":
            return ["label"]
        case "multi_label":
            tags = [name for name in TAGS if name in header][:1]
            return tags or (["label"] if "label" in header else others)
        case _:
            return others or [name for name in ("label",) if name in header]


__all__ = [
    "IMAGES",
    "MASKS",
    "TAGS",
    "find_table",
    "has_masks",
    "kind_of_table",
    "number",
    "row_fault",
    "split_folders",
    "target_columns",
    "target_kind",
]
