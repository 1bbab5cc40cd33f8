"""Long work outside training: a bar on stderr where that is a terminal, a line where it is not."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def tracked(work: Sequence[T], text: str) -> Iterable[T]:
    """The items of ``work``, in order, as they are taken."""
    if not sys.stderr.isatty():
        print(text, file=sys.stderr)
        return work
    from rich.console import Console
    from rich.progress import track

    return track(work, text, console=Console(stderr=True), transient=True)
