"""Figures and names as people read them; every command, log line and page writes them alike."""

from __future__ import annotations

import re
import unicodedata

UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of characters that steer a terminal or show nothing: controls, formats (bidirectional too), lone
surrogates, separators."""
JOINERS = "\u200c\u200d"
"""Format characters that Persian, Indic scripts and emoji are written with."""


def printable(text: str, *, lines: bool = False) -> str:
    r"""Text that is safe on a terminal and in a log: each character of `UNSEEN` becomes a visible escape, such as
    ``\x1b`` or ``\u202e``.

    A byte of a file name that is not UTF-8 (a lone surrogate in Python) is shown as that byte, ``\xe9``. ``lines``
    keeps line breaks, for a text of several lines; a name in it must have been made printable before.
    """
    if text.isprintable():
        return text
    return "".join(char if _seen(char) or (lines and char == "\n") else _escape(char) for char in text)


def _seen(char: str) -> bool:
    return unicodedata.category(char) not in UNSEEN or char in JOINERS


def _escape(char: str) -> str:
    byte = ord(char) - 0xDC00  # of a file name, which Python holds as a lone surrogate
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else repr(char)[1:-1]


FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
"""How a cell begins that a spreadsheet would compute, or that was kept from it by apostrophes."""
SURROGATES = re.compile(r"[\ud800-\udfff]")


def without_surrogates(text: str) -> str:
    """Text that can be written as UTF-8: a byte of a file name that is not UTF-8 stands there as `printable` shows it,
    and all else as it is."""
    return SURROGATES.sub(lambda found: _escape(found[0]), text)


def csv_cell(text: str) -> str:
    """Text as a cell of a CSV file: behind an apostrophe where a spreadsheet would take it for a formula; a number
    stays one.

    A byte that is not UTF-8 is written as `printable` shows it. `csv_text` gives the text back.
    """
    text = without_surrogates(text)
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def csv_text(cell: str) -> str:
    """The text that `csv_cell` wrote."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def value(metric: str, number: float) -> str:
    """An accuracy as a percentage, what ends in _db as decibels, any other metric with four decimals."""
    if metric.endswith("_db"):
        return f"{number:.2f} dB"
    return f"{number:.2%}" if metric.endswith("accuracy") else f"{number:.4f}"


def label(metric: str) -> str:
    return metric.removesuffix("_db").replace("_", " ")


def figure(metric: str, number: float) -> str:
    return f"{label(metric)} {value(metric, number)}"


def spread(metric: str, mean: float, sd: float) -> str:
    return f"{value(metric, mean)} ± {value(metric, sd)}"


def known(metric: str, mean: float, sd: float, seeds: int) -> str:
    """A figure that was measured ``seeds`` times."""
    return (
        f"{figure(metric, mean)}, one run"
        if seeds == 1
        else f"{label(metric)} {spread(metric, mean, sd)} over {seeds} seeds"
    )


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def many(word: str) -> str:
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2] not in "aeiou" else f"{word}s"


def plural(count: int, word: str) -> str:
    return f"{count:,} {word if count == 1 else many(word)}"


def size(count: float) -> str:
    """Bytes, in the unit that leaves few digits."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count:,.0f} bytes"
