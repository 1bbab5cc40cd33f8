"""The layout of tables: aligned columns, and on a terminal wrapped or divided ones, so that no line is too long."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

GAP = "  "
TEXT = 24
"""A column of text is wrapped if at least this many characters are left for it."""
NARROWEST = 12
"""A flexible column keeps at least this many characters."""


class Line(NamedTuple):
    text: str
    heading: bool = False


def lay_out(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, room: int | None, flexible: int | None = None
) -> Iterator[Line]:
    """Yield the lines of a table, of at most ``room`` characters (None: no limit).

    Text is wrapped within its column: first in column ``flexible``, so that the others keep their width. Columns that
    still do not fit are printed below, behind the first column again. Words are not broken: a line with a longer word,
    such as an address, is longer than ``room``.
    """
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    if room is None:
        divided = [dict(enumerate(widths))]
    else:
        if flexible is not None:
            spare = room - sum(widths) - len(GAP) * (len(widths) - 1)
            widths[flexible] = max(NARROWEST, widths[flexible] + min(0, spare))
        divided = _divided(columns, rows, widths, room)
    for number, block in enumerate(divided):
        if number:
            yield Line("")
        for place, row in enumerate([columns, *rows]):
            cells = [_wrapped(row[index], width) for index, width in block.items()]
            for parts in zip_longest(*cells, fillvalue=""):
                yield Line(_line(parts, list(block.values())), heading=place == 0)


def _divided(
    columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], room: int
) -> list[dict[int, int]]:
    """The width of each column by its index, in one block or several; each block begins with the first column."""
    blocks = [{0: widths[0]}]
    for index in range(1, len(widths)):
        word = max((len(word) for row in [columns, *rows] for word in row[index].split()), default=0)
        left = room - sum(len(GAP) + width for width in blocks[-1].values())
        if left < max(word, min(widths[index], TEXT)) and len(blocks[-1]) > 1:
            blocks.append({0: widths[0]})
            left = room - len(GAP) - widths[0]
        blocks[-1][index] = max(word, min(widths[index], left))
    return blocks


def _wrapped(cell: str, width: int) -> list[str]:
    if len(cell) <= width:
        return [cell]
    return textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
