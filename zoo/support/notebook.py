"""A progress bar in a notebook, by IPython's own display: no extension or widget is needed."""

from __future__ import annotations

import sys
from html import escape
from typing import Any


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class NotebookBar:
    """A bar of ``total`` steps, removed by `stop`. The methods are those of rich's Progress that zoo uses."""

    def __init__(self, description: str, total: int) -> None:
        from IPython.display import display

        self._total, self._completed, self._text, self._facts = total, 0, description, ""
        self._handle = display(self._html(), display_id=True)

    def update(
        self, _task: object = None, *, completed: int, description: str | None = None, facts: str | None = None
    ) -> None:
        self._completed = completed
        self._text = self._text if description is None else description
        self._facts = self._facts if facts is None else facts
        self._show(self._html())

    def stop(self) -> None:
        from IPython.display import HTML

        self._show(HTML(""))

    def _show(self, html: Any) -> None:
        if self._handle is not None:
            self._handle.update(html)

    def _html(self) -> Any:
        from IPython.display import HTML

        done = f"{self._completed:,} of {self._total:,}"
        bar = f"<progress value='{self._completed}' max='{self._total}' style='width:20em'></progress>"
        return HTML(f"<div>{escape(self._text)} {bar} {done} {escape(self._facts)}</div>")
