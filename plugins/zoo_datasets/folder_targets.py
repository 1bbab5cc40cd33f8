"""The targets of a user's folder, from class folders, folders by tag, or the columns of a table.

The text of a sample's label (`Sample.label`) holds its whole target: the name of a class, the names of labels, or
numbers, with `JOIN` between them. So files, splits and fingerprint are the same for all kinds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from zoo.api import Classes, DatasetStore, MultiLabel, TargetKind, Values
from zoo.errors import DataError, UsageError
from zoo.plugin import plural
from zoo_datasets.folder_kind import TAGS, number, target_columns
from zoo_datasets.folder_layout import Sample, class_name
from zoo_datasets.folder_table import header_of, read_table
from zoo_datasets.options import FolderOptions

FolderTarget = Classes | MultiLabel | Values
Splits = dict[str, list[Sample]]
JOIN = "\x1f"
"""The unit separator of ASCII, which no cell may hold."""
UNIT = re.compile(r"(.*\S)\s*\[([^\[\]]+)\]")
"""A header with a unit: ``weight [kg]``."""
OVERRIDE = "dataset.target overrides this"


def targets_array(target: FolderTarget, labels: Sequence[str]) -> np.ndarray:
    """Return int64 (N,) for classes, uint8 (N, K) for multi-label, float32 (N, D) for values."""
    if isinstance(target, Values):
        return np.array([list(map(float, label.split(JOIN))) for label in labels], np.float32)
    place = {name: index for index, name in enumerate(target.names)}
    if isinstance(target, Classes):
        return np.array([place[label] for label in labels], np.int64)
    found = np.zeros((len(labels), len(place)), np.uint8)
    for row, label in enumerate(labels):
        found[row, [place[name] for name in label.split(JOIN) if name]] = 1
    return found


def read_targets(
    kind: TargetKind, table: Path, root: Path, options: FolderOptions, store: DatasetStore, *, training: bool
) -> tuple[Splits, FolderTarget | None]:
    """Return samples by split, and the target if the columns give its names; classes and tags are named by the cells.

    Records a note with what the table is read as. Raises DataError naming the line that is wrong.
    """
    header = header_of(table)
    columns = target_columns(header, kind, options.columns)
    if kind == "classes":
        if len(columns) != 1:
            raise UsageError(
                f"a class stands in one column, not in {len(columns)}", where="dataset.columns", fix="name one column"
            )
        splits = read_table(table, root, training=training, columns=columns)
        _note_numbers(splits, columns[0], store)
        return splits, None
    if not columns:
        raise DataError(
            "the table has no column with targets",
            where=table,
            fix="add columns of numbers, or a column labels with the labels of each image",
        )
    if kind == "multi_label" and len(columns) == 1 and not _is_binary(table, root, columns, training=training):
        separator = options.label_separator
        splits = read_table(table, root, training=training, columns=columns, read=lambda cells: _tags(cells, separator))
        splits = _with_unlabelled_test(splits)
        _note(store, f"multi-label: column '{columns[0]}' of {table.name}, labels separated by '{separator}'")
        return splits, None
    read, target = _columns_of(kind, columns, table)
    splits = read_table(table, root, training=training, columns=columns, read=read)
    names = ", ".join(columns[:5]) + (f" and {len(columns) - 5} more" if len(columns) > 5 else "")
    words = "multi-label, a column of 0 and 1 for each label" if kind == "multi_label" else "regression"
    _note(store, f"{words}: {plural(len(columns), 'column')} of {table.name} ({names})")
    return splits, target


def _note(store: DatasetStore, what: str) -> None:
    store.note(f"the folder is read as {what}; {OVERRIDE}")


def _note_numbers(splits: Splits, column: str, store: DatasetStore) -> None:
    labels = {sample.label for samples in splits.values() for sample in samples if sample.label is not None}
    if labels and all(_is_number(label) for label in labels):
        store.note(f"the numbers in column '{column}' are names of classes; dataset.target=values reads them as values")


def _is_number(cell: str) -> bool:
    try:
        number(cell)
    except ValueError:
        return False
    return True


def _is_binary(table: Path, root: Path, columns: Sequence[str], *, training: bool) -> bool:
    """Whether a single column holds 0 and 1: is one label, not the names of labels."""
    if columns[0] in TAGS:
        return False
    cells = read_table(table, root, training=training, columns=columns, read=lambda cells: cells[0] or None)
    return all(sample.label in ("0", "1", None) for samples in cells.values() for sample in samples)


def _tags(cells: Sequence[str], separator: str) -> str:
    """An empty cell is an image without any of the labels."""
    names = {class_name(each.strip()) for each in cells[0].split(separator)} - {""}
    return JOIN.join(sorted(names))


def _with_unlabelled_test(splits: Splits) -> Splits:
    """A test split whose cells are all empty has images to predict."""
    test = splits.get("test", [])
    if test and not any(sample.label for sample in test):
        splits["test"] = [Sample(sample.file, None) for sample in test]
    return splits


def _columns_of(
    kind: TargetKind, columns: Sequence[str], table: Path
) -> tuple[Callable[[Sequence[str]], str | None], MultiLabel | Values]:
    parsed = [UNIT.fullmatch(column) if kind == "values" else None for column in columns]
    names = tuple(column if unit is None else unit[1] for column, unit in zip(columns, parsed, strict=True))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"two columns have the name '{twice[0]}'", where=table, fix="rename one")
    if kind == "multi_label":
        return lambda cells: _binary(cells, names), MultiLabel(names=names)
    units = tuple("" if unit is None else unit[2].strip() for unit in parsed)
    return lambda cells: _numbers(cells, columns), Values(names=names, units=units if any(units) else ())


def _binary(cells: Sequence[str], names: Sequence[str]) -> str | None:
    if not any(cells):
        return None
    for cell, name in zip(cells, names, strict=True):
        if cell not in ("0", "1"):
            shown = f"'{cell}'" if cell else "an empty cell"
            raise ValueError(f"column '{name}' has {shown}, not 0 or 1")
    return JOIN.join(name for cell, name in zip(cells, names, strict=True) if cell == "1")


def _numbers(cells: Sequence[str], columns: Sequence[str]) -> str | None:
    if not any(cells):
        return None
    found = []
    for cell, column in zip(cells, columns, strict=True):
        try:
            found.append(repr(number(cell) if cell else _missing()))
        except ValueError as fault:
            raise ValueError(f"column '{column}': {fault}") from fault
    return JOIN.join(found)


def _missing() -> float:
    raise ValueError("the cell is empty")


def tags_of_folders(splits: Mapping[str, Sequence[Sample]], store: DatasetStore) -> Splits:
    """Return one sample for each image of folders by tag: an image whose file is in several folders, under any name,
    has all their labels. Images are the same if their files have the same bytes."""
    merged: Splits = {}
    copies = several = 0
    for split, samples in splits.items():
        files: dict[str, Path] = {}
        labels: dict[str, set[str]] = {}
        for sample in samples:
            try:
                digest = store.digest(sample.file) if sample.label is not None else str(sample.file)
            except OSError as error:
                raise DataError(
                    f"cannot be read: {error.strerror}", where=sample.file, fix="restore it, or remove it"
                ) from error
            files.setdefault(digest, sample.file)
            labels.setdefault(digest, set()).update([] if sample.label is None else [sample.label])
        copies += len(samples) - len(files)
        several += sum(len(names) > 1 for names in labels.values())
        merged[split] = [Sample(file, JOIN.join(sorted(labels[key])) or None) for key, file in files.items()]
    told = f"{several:,} of {sum(map(len, merged.values())):,} images are in several folders"
    _note(store, f"multi-label, a folder for each label: {told} ({plural(copies, 'further file')})")
    return merged


def named_labels(splits: Mapping[str, Sequence[Sample]], where: Path, *, own_splits: bool) -> MultiLabel:
    """Return the labels of the train split, or of all samples if they are not divided yet.

    Raises DataError for a label that only another split has, and if there are no labels.
    """
    known = {name for sample in splits.get("train", ()) for name in (sample.label or "").split(JOIN)} - {""}
    for split, samples in splits.items():
        for sample in samples if own_splits else ():
            for name in (sample.label or "").split(JOIN):
                if name and name not in known and "train" in splits:
                    raise DataError(
                        f"'{sample.file.name}' of split '{split}' has the label '{name}', which no training image has",
                        where=where,
                        fix="correct the label, or add training images with it",
                    )
                known |= {name} - {""}
    if not known:
        raise DataError("no image has a label", where=where, fix="add labels")
    return MultiLabel(names=tuple(sorted(known)))


def divide_randomly(splits: Mapping[str, Sequence[Sample]], share: float, seed: int, where: Path) -> Splits:
    """Split off a share of train as the labelled val split. (RandomState's stream is frozen by numpy's policy.)"""
    train = list(splits["train"])
    if len(train) < 2:
        raise DataError("there is one image: too few for training and test", where=where, fix="add some")
    aside = set(np.random.RandomState(seed % 2**32).permutation(len(train))[: _count(len(train), share)].tolist())
    kept, reported = ([each for row, each in enumerate(train) if (row in aside) == chosen] for chosen in (False, True))
    return {**{name: list(samples) for name, samples in splits.items()}, "train": kept, "val": reported}


def _count(samples: int, share: float) -> int:
    return min(samples - 1, max(1, round(share * samples)))
