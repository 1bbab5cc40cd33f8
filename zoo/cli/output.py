"""Printing: results on stdout, everything about them on stderr.

Tables are plain text, so that `zoo list` need not import rich.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from contextvars import ContextVar
from typing import Any

from zoo.cli.tables import GAP, lay_out
from zoo.support.formatting import duration, figure, plural, printable
from zoo.support.standard_streams import encodable

__all__ = [
    "duration",
    "emphasised",
    "figure",
    "json_alone",
    "note",
    "plural",
    "say",
    "say_facts",
    "say_fields",
    "say_json",
    "say_table",
    "say_wrapped",
]


SHORTEST = 30
"""A wrapped text has lines of at least this many characters."""


class Styled(str):
    """Text whose escape sequences are our own: the rest of it has been made printable."""


def say(text: str = "", *, lines: bool = False) -> None:
    """One line on stdout, whatever the names in it hold; or ``lines``, in which names were made printable."""
    print(text if isinstance(text, Styled) else printable(text, lines=lines))


def say_fields(*fields: str) -> None:
    """A line for a program to read: fields between tabs, empty ones at the end left out."""
    print("\t".join(map(printable, fields)).rstrip("\t"))


def note(text: str) -> None:
    """A line on stderr, or the lines of an error that lists several problems."""
    print(printable(text, lines=True), file=sys.stderr)


@contextmanager
def json_alone(as_json: bool) -> Iterator[None]:
    """Around a command's work: where stdout is to hold JSON alone, what the work says goes to stderr (progress, a
    plugin that prints)."""
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        yield


_json_printed = ContextVar("json_printed", default=False)


def json_printed() -> bool:
    """Whether this command has printed its JSON."""
    return _json_printed.get()


def forget_json() -> None:
    """A new command begins, which has printed nothing."""
    _json_printed.set(False)


def say_json(value: Any) -> None:
    """Specs and configurations are plain JSON data once dumped; paths are written as text."""
    _json_printed.set(True)
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    # JSON escapes some of what `printable` does; the rest is escaped as JSON has it, as is what stdout cannot encode.
    shown = "".join(char if char == "\n" or printable(char) == char else json.dumps(char)[1:-1] for char in text)
    print(shown if encodable(shown, sys.stdout) else json.dumps(value, indent=2, default=str))


def say_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, flexible: int | None = None, indent: str = ""
) -> None:
    """Aligned columns under their names; on a terminal as `lay_out` fits them into its width, elsewhere in full."""
    room = width()
    within = None if room is None else room - len(indent)
    cells = [[printable(cell) for cell in row] for row in rows]
    for line in lay_out(columns, cells, room=within, flexible=flexible):
        text = (indent + line.text).rstrip()
        say(emphasised(text) if line.heading else text)


def say_facts(facts: dict[str, object], indent: str = "") -> None:
    """Names and values, aligned; what is None or empty is left out."""
    known = {name: value for name, value in facts.items() if value not in (None, "", (), [], {})}
    longest = max((len(name) for name in known), default=0)
    for name, value in known.items():
        say_wrapped(f"{indent}{name.ljust(longest)}{GAP}", str(value))


def width() -> int | None:
    """The columns of the terminal; None where stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def emphasised(text: str) -> str:
    """Bold on a terminal, for `say` alone: what is added to it is escaped with it."""
    return Styled(f"\033[1m{printable(text)}\033[0m") if sys.stdout.isatty() else text


def say_wrapped(head: str, text: str) -> None:
    """A line that begins with ``head``; on a terminal it goes on below itself where it is too long."""
    room = width()
    if room is None:
        say(head + text)
        return
    head, text = printable(head), printable(text)
    lines = textwrap.wrap(text, max(SHORTEST, room - len(head)), break_long_words=False, break_on_hyphens=False) or [""]
    say("\n".join([head + lines[0], *(" " * len(head) + line for line in lines[1:])]), lines=True)
