"""Write tables of predictions as CSV."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from zoo.runtime.answers import cells, columns, printable


def write_csv(file: Path, rows: Iterable[tuple[Path, np.ndarray]], decision: dict[str, Any]) -> None:
    """``rows`` are files with their values by `decide`."""
    refuse_special_table(file)
    rows = list(rows)
    with file.open("w", newline="", encoding="utf-8") as stream:
        stream.write(csv_header(rows[0][1].size if rows else 0, decision) + csv_rows(rows, decision))


def refuse_special_table(file: Path) -> None:
    if file.exists() and not file.is_file():  # opening a named pipe may never end
        raise OSError(f"{file}: is no regular file, and no table is written to it")


def csv_header(count: int, decision: dict[str, Any]) -> str:
    """The first line of a table; ``count`` is the number of values of an embedding or raw output."""
    return csv_lines([["file", *map(csv_cell, columns(decision, count))]])


def csv_rows(rows: Iterable[tuple[Path, np.ndarray]], decision: dict[str, Any]) -> str:
    """A line of a table for each row."""
    named = decision["kind"] in ("softmax", "sigmoid")
    lines = []
    for path, values in rows:
        line = cells(values, decision)
        if named:  # the other cells are numbers, which `csv_cell` leaves as they are
            line[0] = csv_cell(line[0])
        lines.append([csv_cell(str(path)), *line])
    return csv_lines(lines)


def csv_lines(lines: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(lines)
    return stream.getvalue()


def csv_cell(text: str) -> str:
    """A cell of text, behind an apostrophe where a spreadsheet would take it for a formula; a number stays one."""
    if not text.isascii():
        text = re.sub(r"[\ud800-\udfff]", lambda found: printable(found[0]), text)
    if text[:1] not in ("'", "=", "+", "-", "@", "\t", "\r", "\n"):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}" if re.match(r"'*[=+\-@\t\r\n]", text) else text
    return text


@contextmanager
def open_table(
    file: Path | None, decision: dict[str, Any]
) -> Iterator[Callable[[list[tuple[Path, np.ndarray]]], None]]:
    """Gives a function that adds rows to a table, which has the name ``<file>.partial`` until it is complete."""
    if file is None:
        yield lambda _rows: None
        return
    refuse_special_table(file)
    file = Path(os.path.realpath(file))  # a link stays one
    partial_file = file.with_name(f"{file.name}.partial")
    refuse_special_table(partial_file)
    try:
        with partial_file.open("w", newline="", encoding="utf-8") as stream:

            def write(rows: list[tuple[Path, np.ndarray]]) -> None:
                if rows and not stream.tell():
                    stream.write(csv_header(rows[0][1].size, decision))
                stream.write(csv_rows(rows, decision))
                stream.flush()

            yield write
            if not stream.tell():
                stream.write(csv_header(0, decision))
        partial_file.replace(file)
    except BaseException:
        with suppress(OSError):
            partial_file.unlink()
        raise
