"""Figures as people read them; every command, log line and page says them alike."""

from __future__ import annotations


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
    """A figure that was measured so many times."""
    return f"{figure(metric, mean)}, one run" if seeds == 1 else f"{label(metric)} {spread(metric, mean, sd)} over {seeds} seeds"


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
