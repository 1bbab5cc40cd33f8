"""`zoo.register`: register a component in this process, without a plugin."""

from __future__ import annotations

from zoo import api
from zoo.errors import UsageError
from zoo.registry.catalogue import LOCAL
from zoo.registry.discovery import HOOKS
from zoo.registry.lookup import registry

KINDS = {expected: kind for kind, (_, expected) in HOOKS.items() if kind not in ("command", "family")}


def register(spec: api.Spec) -> str:
    """Register a spec in this process, and return its full name, ``local/NAME``.

    Its ``target`` is a reference to an importable object; in a notebook or a script, that is ``"__main__:name"``. A
    spec of the same kind and name is replaced. Register it again in every process that opens a run made with it, or
    make a plugin of it. Raises UsageError for what is not a spec of a component.
    """
    kind = KINDS.get(type(spec))
    if kind is None:
        known = ", ".join(sorted(each.__name__ for each in KINDS))
        raise UsageError(f"{type(spec).__name__} cannot be registered", fix=f"pass one of: {known}")
    return registry().register(kind, spec).canonical


__all__ = ["LOCAL", "register"]
