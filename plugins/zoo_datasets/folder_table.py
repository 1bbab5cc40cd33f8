"""Targets from a CSV file: a row per image, with the file (relative to the folder), the cells of its target and
optionally the split. `folder_kind` decides which columns are the target.

Tables may be written by a spreadsheet: separated by commas, semicolons or tabs, with an optional first line ``sep=;``,
column names in any case, empty cells at the end of a row, and empty rows. The encoding is UTF-8, or UTF-16 with a byte
order mark.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import DataError
from zoo.plugin import read_bytes
from zoo_datasets.folder_layout import SPLITS, Sample, class_name, code_points, entries, nfc

SEPARATORS = (",", ";", "\t")
SEP_LINE = re.compile(r'"?sep=(.)"?')
"""The first line that Excel writes and reads for a separator."""
COLUMNS = ("file", "label", "labels", "tags", "split")
Cells = dict[str, str]
"""A row by the names of its columns."""


def read_table(
    table: Path,
    root: Path,
    *,
    training: bool = True,
    columns: Sequence[str] = ("label",),
    read: Callable[[Sequence[str]], str | None] | None = None,
) -> dict[str, list[Sample]]:
    """Samples by split. A row without a label may only be in the test split, with no other.

    ``training``: there must be rows of train. ``read`` turns the cells of ``columns`` into the text of `Sample.label`,
    and raises ValueError with the fault; by default, the one cell is the name of a class.

    Raises DataError naming the line that is wrong.
    """
    splits: dict[str, list[Sample]] = {}
    seen: dict[Path, int] = {}
    try:
        for line, row in rows(table, columns):
            split, file = _place(row, root, table, line)
            cells = [row[name] for name in columns]
            try:
                label = (class_name(cells[0]) or None) if read is None else read(cells)
            except ValueError as fault:
                raise row_fault(str(fault), table, line) from fault
            if file in seen:
                raise row_fault(f"'{row['file']}' is already on line {seen[file]}", table, line)
            seen[file] = line
            splits.setdefault(split, []).append(Sample(file, label))
    except OSError as error:
        raise _unreadable(table, error) from error
    for name, samples in splits.items():
        unlabelled = [sample for sample in samples if sample.label is None]
        if unlabelled and (name != "test" or len(unlabelled) < len(samples)):
            raise DataError(
                f"'{unlabelled[0].file.name}' of split '{name}' has no label",
                where=table,
                fix="label it, or remove its row",
            )
    if not splits or (training and "train" not in splits):
        raise DataError(
            "the table has no rows to train on",
            where=table,
            fix="add rows, with split train where there is such a column",
        )
    return splits


def _unreadable(table: Path, error: OSError) -> DataError:
    return DataError(
        f"the table of labels cannot be read: {error.strerror}", where=table, fix="give a CSV file in UTF-8"
    )


def header_of(table: Path) -> list[str]:
    """The names of the columns: those of `COLUMNS` in lower case, the others as written."""
    try:
        return [_column(name) for name in _opened(table)[1]]
    except OSError as error:
        raise _unreadable(table, error) from error


def rows(table: Path, needed: Sequence[str] = ()) -> Iterator[tuple[int, Cells]]:
    """Each row that is not empty, with the number of its line. Raises DataError where a column of ``needed`` is missing
    or is there twice."""
    reader, header, skipped = _opened(table)
    try:
        places = _places(header, table, needed)
        for cells in reader:
            if any(cell.strip() for cell in cells[len(header) :]):
                raise row_fault(
                    f"{len(cells)} cells in a table of {len(header)} columns (is a comma not in quotes?)",
                    table,
                    reader.line_num + skipped,
                )
            if any(cell.strip() for cell in cells):
                row = {name: cells[place].strip() if place < len(cells) else "" for name, place in places.items()}
                yield reader.line_num + skipped, row
    except csv.Error as error:
        raise row_fault(f"not a row of CSV: {error}", table, reader.line_num + skipped) from error


def _opened(table: Path) -> tuple[Any, list[str], int]:
    """A reader of the rows, the header, and the number of lines before it."""
    stream = io.StringIO(_text(table), newline="")
    first = stream.readline()
    told = SEP_LINE.fullmatch(first.rstrip("\r\n"))
    if told is None:
        stream.seek(0)
    skipped = 0 if told is None else 1
    reader = csv.reader(stream, delimiter=_separator(first) if told is None else told[1], strict=True)
    try:
        return reader, next(reader, []), skipped
    except csv.Error as error:
        raise row_fault(f"not a row of CSV: {error}", table, reader.line_num + skipped) from error


def _text(table: Path) -> str:
    """Raises DataError where the table is in another encoding than UTF-8 or UTF-16."""
    content = read_bytes(table)
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"line {line}: the table of labels is not in UTF-8", where=table, fix="save it as “CSV UTF-8”"
        ) from error
    if "\0" in text:
        raise DataError("the table of labels is not UTF-8 text", where=table, fix="save it as “CSV UTF-8”")
    return text


def _separator(header: str) -> str:
    """The one that parts the header into known columns; a comma where none does."""
    found = {separator: len(_known(next(csv.reader([header], delimiter=separator), []))) for separator in SEPARATORS}
    return max(SEPARATORS, key=lambda separator: found[separator])


def _known(header: Sequence[str]) -> list[str]:
    return [name for name in map(_column, header) if name in COLUMNS]


def _column(name: str) -> str:
    name = nfc(name.strip())
    return name.casefold() if name.casefold() in COLUMNS else name


def _places(header: Sequence[str], table: Path, needed: Sequence[str]) -> dict[str, int]:
    """Where each column stands. Raises DataError where one that is used is missing, or is there twice."""
    places: dict[str, int] = {}
    for place, name in enumerate(map(_column, header)):
        if name in places and (name in ("file", "split") or name in needed):
            where = f"columns {places[name] + 1} and {place + 1} ('{header[places[name]]}' and '{header[place]}')"
            raise DataError(f"the table has two columns '{name}': {where}", where=table, fix="remove or rename one")
        places.setdefault(name, place)
    missing = [name for name in ("file", *needed) if name not in places]
    if missing:
        raise DataError(
            f"the table has no column '{missing[0]}'",
            where=table,
            fix="name the columns file, label and optionally split"
            if missing[0] in COLUMNS
            else f"it has: {', '.join(header)}",
        )
    return places


def _place(row: Cells, root: Path, table: Path, line: int) -> tuple[str, Path]:
    """The split and the file of a row."""
    split = (row.get("split") or "train").lower()
    if split not in SPLITS:
        raise row_fault(f"'{split}' is not a split: {', '.join(SPLITS)}", table, line)
    file = _find(root, row["file"], table, line) if row["file"] else None
    if file is None:
        raise row_fault(f"there is no file '{row['file']}' in {root}", table, line)
    return SPLITS[split], file


def _find(root: Path, name: str, table: Path, line: int) -> Path | None:
    """The file of that name; where none is, the one whose name differs in its Unicode form alone."""
    exact = root / name
    if exact.is_file():
        return exact
    found = root
    for part in Path(name).parts:
        if (found / part).exists():
            found /= part
            continue
        alike = (
            [path for path in entries(found) if nfc(path.name) == nfc(part)]
            if found.is_dir() and not part.isascii()
            else []
        )
        if len(alike) > 1:
            forms = " and ".join(code_points(path.name) for path in alike)
            raise row_fault(f"'{part}' is the name of several files in different Unicode forms: {forms}", table, line)
        if not alike:
            return None
        found = alike[0]
    return found if found.is_file() else None


def row_fault(what: str, table: Path, line: int) -> DataError:
    return DataError(f"line {line}: {what}", where=table, fix="correct the row")
