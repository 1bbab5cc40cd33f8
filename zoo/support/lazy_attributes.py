"""Module attributes that are imported on first use (PEP 562), so that importing the module is cheap."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_attributes(
    module: str, targets: Mapping[str, str], wrapper: str | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a module with the attributes ``targets``, as "module:attribute", or
    as "module" for a module itself. ``wrapper`` is a function, as "module:attribute", that each is passed through."""

    def get(name: str) -> Any:
        if name not in targets:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        source, _, attribute = targets[name].partition(":")
        found = importlib.import_module(source)
        value = getattr(found, attribute) if attribute else found
        if wrapper is None:
            return value
        outer, _, function = wrapper.partition(":")
        return getattr(importlib.import_module(outer), function)(value)

    def names() -> list[str]:
        return sorted({*vars(importlib.import_module(module)), *targets})

    return get, names
