"""Small HTML for notebooks (``_repr_html_``). All text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from zoo.support.formatting import printable


def html_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_facts(title: str, facts: Mapping[str, object]) -> str:
    """A title, and a row for each fact that is not None."""
    known = [(name, value) for name, value in facts.items() if value is not None]
    rows = "".join(
        f"<tr><th style='text-align:left'>{_text(name)}</th><td>{_text(each)}</td></tr>" for name, each in known
    )
    return f"<div><strong>{_text(title)}</strong><table>{rows}</table></div>"


def html_line(text: str) -> str:
    return f"<div>{_text(text)}</div>"


def _text(value: object) -> str:
    return escape(printable(str(value)))
