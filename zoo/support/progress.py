"""Long work outside training: a bar on stderr where that is a terminal, a line where it is not."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from zoo.support.formatting import printable

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

T = TypeVar("T")


def announce(text: str) -> None:
    """One line on stderr."""
    print(printable(text), file=sys.stderr)


def tracked(work: Sequence[T], text: str) -> Iterable[T]:
    """The items of ``work``, in order, as they are taken."""
    if not sys.stderr.isatty():
        announce(text)
        return work
    return drawn(work, text, len(work))


def drawn(work: Iterable[T], text: str, total: int | None = None) -> Iterator[T]:
    """The items of ``work`` behind a bar on stderr; without a ``total`` it only shows that work goes on."""
    from rich.progress import BarColumn, TaskProgressColumn, TimeRemainingColumn

    with bar(BarColumn(), TaskProgressColumn(), TimeRemainingColumn()) as progress:
        yield from progress.track(work, total=total, description=printable(text))


@contextmanager
def bar(*columns: ProgressColumn) -> Iterator[Progress]:
    """A bar on stderr behind a description that is written as it is: no name in it is taken for rich's markup."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    with Progress(
        TextColumn("{task.description}", markup=False), *columns, console=Console(stderr=True), transient=True
    ) as progress:
        yield progress
