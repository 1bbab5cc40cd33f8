"""Formatting of numbers and names, the same in all commands, logs and pages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories of invisible and control characters: controls, formats (including bidirectional ones), lone
surrogates, separators."""
JOINERS = "\u200c\u200d"
"""Format characters that are part of Persian, Indic scripts and emoji."""


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return text that is safe for a terminal and a log: each character of `UNSEEN` becomes an escape, such as
    ``\x1b`` or ``\u202e``.

    A byte of a file name that is not UTF-8 (a lone surrogate in Python) becomes ``\xe9``. ``lines`` keeps line breaks,
    for text of several lines; make names in it printable first.
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
"""Beginnings of cells that a spreadsheet would evaluate, or that were escaped with apostrophes."""
SURROGATES = re.compile(r"[\ud800-\udfff]")


def without_surrogates(text: str) -> str:
    """Return text that can be encoded as UTF-8: bytes of file names that are not UTF-8 are escaped as in
    `printable`."""
    return SURROGATES.sub(lambda found: _escape(found[0]), text)


def csv_cell(text: str) -> str:
    """Return text as a CSV cell, with an apostrophe before anything that a spreadsheet would evaluate as a formula,
    except numbers.

    Bytes that are not UTF-8 are escaped as in `printable`. `csv_text` is the inverse.
    """
    text = without_surrogates(text)
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def csv_text(cell: str) -> str:
    """Return the text of a cell written by `csv_cell`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def value(metric: str, number: float) -> str:
    """Format a metric: accuracies as a percentage, names that end in _db in decibels, others with four decimals."""
    if metric.endswith("_db"):
        return f"{number:.2f} dB"
    return f"{number:.2%}" if metric.endswith("accuracy") else f"{number:.4f}"


ABBREVIATIONS = {
    "f1": "F1",
    "iou": "IoU",
    "mae": "MAE",
    "map": "mAP",
    "r2": "R²",
    "rmse": "RMSE",
    "spearman": "Spearman",
}


def label(metric: str) -> str:
    """Return the name of a metric as it is written in text: ``macro_f1`` as macro F1, ``top5_accuracy`` as top-5
    accuracy."""
    words = metric.removesuffix("_db").split("_")
    return " ".join(ABBREVIATIONS.get(word) or re.sub(r"^top(?=\d+$)", "top-", word) for word in words)


def figure(metric: str, number: float) -> str:
    return f"{label(metric)} {value(metric, number)}"


def figures(metrics: Mapping[str, float]) -> dict[str, str]:
    """Return each metric's value in words, by its name in words."""
    return {label(name): value(name, number) for name, number in metrics.items()}


def spread(metric: str, mean: float, sd: float) -> str:
    return f"{value(metric, mean)} ± {value(metric, sd)}"


def known(metric: str, mean: float, sd: float, seeds: int) -> str:
    """Format a metric with its standard deviation over ``seeds`` runs."""
    return (
        f"{figure(metric, mean)} (one run)"
        if seeds == 1
        else f"{label(metric)} {spread(metric, mean, sd)} (mean ± standard deviation over {seeds} seeds)"
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
    if word.endswith("s"):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2] not in "aeiou" else f"{word}s"


def enumerated(words: Iterable[str]) -> str:
    """``a, b and c``"""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def quoted(words: Iterable[str]) -> str:
    """Return names in backquotes, with "or" between them."""
    return " or ".join(f"`{word}`" for word in words)


def plural(count: int, word: str) -> str:
    return f"{count:,} {word if count == 1 else many(word)}"


def size(count: float) -> str:
    """Format a number of bytes in a suitable unit."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count:,.0f} bytes"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and the errors that led to it, the last one first."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def first_sentence(text: str) -> str:
    """Return the first sentence of the first paragraph of a text, on one line."""
    first, period, _ = " ".join(text.partition("\n\n")[0].split()).partition(". ")
    return first + period.rstrip()


def first_line(error: BaseException) -> str:
    """Return the class of an error with the first line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
