"""`zoo.info`: everything about a component, as a mapping."""

from __future__ import annotations

from typing import Any

from zoo.errors import UsageError, ZooError
from zoo.registry.lookup import registry
from zoo.support.html_tables import html_facts
from zoo.workflows.component_facts import Asked, describe, examine

SHOWN = 200
"""Characters of a value that a notebook shows."""


class Facts(dict[str, Any]):
    """What is known of a component: JSON data, shown as a table in notebooks."""

    def _repr_html_(self) -> str:
        facts = {
            name: text[:SHOWN] for name, value in self.items() if (text := str(value)) not in ("", "None", "[]", "{}")
        }
        return html_facts(f"{self['kind']} {self['canonical']}", facts)


def info(
    name: str,
    *,
    input: tuple[int, int, int] | None = None,  # noqa: A002
    num_outputs: int | None = None,
    **options: Any,
) -> Facts:
    """Return what `zoo info --json` prints of a component.

    Of an architecture, ``network`` has its layers, parameters and cost for ``input`` (C, H, W), ``num_outputs`` and
    ``options``. Raises UnknownNameError, or UsageError for a name of several components.
    """
    catalogue, asked = registry(), Asked(input, num_outputs, options)
    items = catalogue.find_any(name)
    if len(items) > 1:
        listed = " and ".join(f"{item.kind} {item.canonical}" for item in items)
        raise UsageError(
            f"'{name}' is the name of {listed}", fix=f"say {' or '.join(item.canonical for item in items)}"
        )
    found = Facts(describe(catalogue, items[0]))
    if items[0].kind != "architecture" and (items[0].kind != "recipe" or asked == Asked()):
        return found
    from zoo.analysis.anatomy_json import as_json

    try:
        found["network"] = as_json(*examine(catalogue, items[0], asked))
    except ZooError as error:
        if asked != Asked():
            raise
        found.setdefault("problems", []).append(str(error))
    return found
