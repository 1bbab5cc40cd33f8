"""Labels from a CSV file: a row per image, with the file (relative to the folder), the label and optionally the split.

Tables may be written by a spreadsheet: separated by commas, semicolons or tabs, with an optional first line ``sep=;``,
column names in any case, empty cells at the end of a row, and empty rows. The encoding is UTF-8, or UTF-16 with a byte
order mark.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from zoo.errors import DataError
from zoo.plugin import read_bytes
from zoo_datasets.folder_layout import SPLITS, Sample, class_name, code_points, entries, nfc

SEPARATORS = (",", ";", "\t")
SEP_LINE = re.compile(r'"?sep=(.)"?')
"""The first line that Excel writes and reads for a separator."""
COLUMNS = ("file", "label", "split")
Cells = dict[str, str]
"""A row by the names of `COLUMNS`."""


def read_table(table: Path, root: Path, *, training: bool = True) -> dict[str, list[Sample]]:
    """Samples by split. A row without a label may only be in the test split, with no other.

    ``training``: there must be rows of train.

    Raises DataError naming the line that is wrong.
    """
    splits: dict[str, list[Sample]] = {}
    seen: dict[Path, int] = {}
    try:
        for line, row in _rows(table):
            split, sample = _sample(row, root, table, line)
            if sample.file in seen:
                raise _fault(f"'{row['file']}' is already on line {seen[sample.file]}", table, line)
            seen[sample.file] = line
            splits.setdefault(split, []).append(sample)
    except OSError as error:
        raise DataError(
            f"the table of labels cannot be read: {error.strerror}", where=table, fix="give a CSV file in UTF-8"
        ) from error
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


def _rows(table: Path) -> Iterator[tuple[int, Cells]]:
    """Each row that is not empty, with the number of its line."""
    stream = io.StringIO(_text(table), newline="")
    first = stream.readline()
    told = SEP_LINE.fullmatch(first.rstrip("\r\n"))
    if told is None:
        stream.seek(0)
    skipped = 0 if told is None else 1
    reader = csv.reader(stream, delimiter=_separator(first) if told is None else told[1], strict=True)
    try:
        header = next(reader, [])
        places = _places(header, table)
        for cells in reader:
            if any(cell.strip() for cell in cells[len(header) :]):
                raise _fault(
                    f"{len(cells)} cells in a table of {len(header)} columns (is a comma not in quotes?)",
                    table,
                    reader.line_num + skipped,
                )
            if any(cell.strip() for cell in cells):
                row = {name: cells[place].strip() if place < len(cells) else "" for name, place in places.items()}
                yield reader.line_num + skipped, row
    except csv.Error as error:
        raise _fault(f"not a row of CSV: {error}", table, reader.line_num + skipped) from error


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
    return name.strip().casefold()


def _places(header: Sequence[str], table: Path) -> dict[str, int]:
    """Where each column stands. Raises DataError where one is missing, or is there twice."""
    places: dict[str, int] = {}
    for place, name in enumerate(map(_column, header)):
        if name not in COLUMNS:
            continue
        if name in places:
            where = f"columns {places[name] + 1} and {place + 1} ('{header[places[name]]}' and '{header[place]}')"
            raise DataError(f"the table has two columns '{name}': {where}", where=table, fix="remove or rename one")
        places[name] = place
    missing = [name for name in ("file", "label") if name not in places]
    if missing:
        raise DataError(
            f"the table has no column '{missing[0]}'",
            where=table,
            fix="name the columns file, label and optionally split",
        )
    return places


def _sample(row: Cells, root: Path, table: Path, line: int) -> tuple[str, Sample]:
    split = (row.get("split") or "train").lower()
    if split not in SPLITS:
        raise _fault(f"'{split}' is not a split: {', '.join(SPLITS)}", table, line)
    file = _find(root, row["file"], table, line) if row["file"] else None
    if file is None:
        raise _fault(f"there is no file '{row['file']}' in {root}", table, line)
    return SPLITS[split], Sample(file, class_name(row["label"]) or None)


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
            raise _fault(f"'{part}' is the name of several files in different Unicode forms: {forms}", table, line)
        if not alike:
            return None
        found = alike[0]
    return found if found.is_file() else None


def _fault(what: str, table: Path, line: int) -> DataError:
    return DataError(f"line {line}: {what}", where=table, fix="correct the row")
