"""The answer for one image as text: a line for people, or cells of a table."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np

from zoo.runtime.decisions import chosen, shares, top
from zoo.runtime.gallery import Match, matches

UNSEEN, JOINERS = ("Cc", "Cf", "Cs", "Zl", "Zp"), "\u200c\u200d"
NO_ANSWER, NO_LABEL = "no answer", "no label"


def answer_text(values: np.ndarray, decision: dict[str, Any], count: int) -> str:
    """The answer for one image in a line, with at most ``count`` classes, labels, values of a vector, or closest images
    of a gallery with their cosine similarity."""
    kind = decision["kind"]
    if kind == "softmax":
        best = _percentages(top(values, decision["classes"], count))
        return best if chosen(values, decision) else f"{NO_ANSWER} ({best})"
    if kind == "sigmoid":
        return _labels_text(values, decision, count)
    if kind == "affine":
        return ", ".join(
            f"{name} {values[index]:.6g} {unit}".rstrip() for index, (name, unit) in enumerate(_with_units(decision))
        )
    if kind == "pixel_argmax":
        best_shares = top(shares(values, decision["classes"]), decision["classes"], count)
        return _percentages([(name, share) for name, share in best_shares if share > 0])
    found = matches(values, decision, count)
    if found:
        return ", ".join(map(_match_text, found))
    first = ", ".join(f"{float(value):.6g}" for value in values.ravel()[:count])
    return first if values.size <= count else f"{first}, … ({values.size} values)"


def _match_text(found: Match) -> str:
    label = f" ({found.label})" if found.label else ""
    return f"{found.name}{label} {found.similarity:.3f}"


def _labels_text(values: np.ndarray, decision: dict[str, Any], count: int) -> str:
    found = chosen(values, decision)
    if not found:
        return f"{NO_LABEL} ({_percentages(top(values, decision['classes'], count))})"
    best = _percentages(top(values[found], [decision["classes"][index] for index in found], count))
    return best if len(found) <= count else f"{best} and {len(found) - count} more"


def _percentages(pairs: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in pairs)


def _with_units(decision: dict[str, Any]) -> list[tuple[str, str]]:
    """The names of an affine decision, each with its unit, which may be empty."""
    units = decision.get("units")
    return [(name, units[index] if units else "") for index, name in enumerate(decision["names"])]


def columns(decision: dict[str, Any], count: int = 0) -> list[str]:
    """The header of the cells that `cells` gives; ``count`` is the number of values of an embedding or raw output."""
    kind = decision["kind"]
    if kind in ("softmax", "sigmoid"):
        return ["prediction", *(f"p({name})" for name in decision["classes"])]
    if kind == "affine":
        return [f"{name} ({unit})" if unit else name for name, unit in _with_units(decision)]
    if kind == "pixel_argmax":
        return [f"share({name})" for name in decision["classes"]]
    return [f"v{index}" for index in range(count)]


def cells(values: np.ndarray, decision: dict[str, Any], digits: str = ".9g") -> list[str]:
    """The answer for one image as cells of a table; several labels are separated by semicolons. `csv_cell` has not
    been applied."""
    kind = decision["kind"]
    numbers = shares(values, decision["classes"]) if kind == "pixel_argmax" else values.ravel()
    texts = ((f"%{digits} " * numbers.size) % tuple(numbers.astype(np.float64).tolist())).split()
    if kind not in ("softmax", "sigmoid"):
        return texts
    names = [decision["classes"][index] for index in chosen(values, decision)]
    return [";".join(names) if names or kind == "sigmoid" else NO_ANSWER, *texts]


def printable(text: str) -> str:
    r"""One line that is safe on a terminal: characters that steer it or show nothing become escapes, such as
    ``\x1b``."""
    if text.isprintable():  # as most are: none of those characters is
        return text
    return "".join(
        _escape(char) if unicodedata.category(char) in UNSEEN and char not in JOINERS else char for char in text
    )


def _escape(char: str) -> str:
    byte = ord(char) - 0xDC00  # of a file name, which Python holds as a lone surrogate
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else repr(char)[1:-1]
