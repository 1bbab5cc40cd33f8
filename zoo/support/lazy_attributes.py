"""Attributes of a module that are imported when they are first used (PEP 562), so that importing it costs next to
nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_attributes(module: str, targets: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a module whose attributes are ``targets``, each as "module:attribute"."""

    def get(name: str) -> Any:
        if name not in targets:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        source, _, attribute = targets[name].partition(":")
        return getattr(importlib.import_module(source), attribute)

    def names() -> list[str]:
        return sorted({*vars(importlib.import_module(module)), *targets})

    return get, names
