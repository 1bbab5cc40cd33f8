"""Progress of long work outside training: a bar on stderr if that is a terminal, or in a notebook; otherwise a line."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from zoo.support.formatting import printable
from zoo.support.notebook import NotebookBar, in_notebook

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

T = TypeVar("T")


def announce(text: str) -> None:
    """Print a line on stderr."""
    print(printable(text), file=sys.stderr)


def tracked(work: Sequence[T], text: str) -> Iterable[T]:
    """Return an iterable over ``work`` that shows its progress, labelled ``text``."""
    if in_notebook():
        return _in_notebook(work, text)
    if not sys.stderr.isatty():
        announce(text)
        return work
    return drawn(work, text, len(work))


def _in_notebook(work: Sequence[T], text: str) -> Iterator[T]:
    shown = NotebookBar(text, len(work))
    try:
        for done, item in enumerate(work, 1):
            yield item
            shown.update(completed=done)
    finally:
        shown.stop()


def drawn(work: Iterable[T], text: str, total: int | None = None) -> Iterator[T]:
    """Yield the items of ``work`` with a bar on stderr; without ``total``, the bar is indeterminate."""
    from rich.progress import BarColumn, TaskProgressColumn, TimeRemainingColumn

    with bar(BarColumn(), TaskProgressColumn(), TimeRemainingColumn()) as progress:
        yield from progress.track(work, total=total, description=printable(text))


@contextmanager
def bar(*columns: ProgressColumn) -> Iterator[Progress]:
    """Yield a progress bar on stderr whose description is not interpreted as rich markup.

    Output on stdout goes around the bar if both are the terminal, and to its file or pipe otherwise.
    """
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    with Progress(
        TextColumn("{task.description}", markup=False),
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        yield progress
