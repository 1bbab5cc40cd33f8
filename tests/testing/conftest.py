"""A plugin that is made of the source a test gives, and held to the contract."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from zoo.registry.lookup import registry
from zoo.testing import Fault, find_faults

VERSION = 'ZOO_API = "2.0"\n'
PARTS = ("zoo_odd_parts", "zoo_odd_flock")


@pytest.fixture
def odd(install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Fault]]]:
    """Faults of a plugin made of this source, with the implementation in a second module, and a family in a third,
    which imports no torch."""

    def faults(
        source: str,
        parts: str = "",
        build: bool = True,
        family: str = "",
        expected: Mapping[str, str] | None = None,
        version: str = VERSION,
        imported: bool = False,
    ) -> list[Fault]:
        """``imported``: in a fresh interpreter too, which takes a while."""
        if not imported:
            monkeypatch.setattr("zoo.testing.import_findings", lambda _plugin: [])
        site = install("zoo-odd", "odd", version + source).parent
        for module, text in zip(PARTS, (parts, family), strict=True):
            (site / f"{module}.py").write_text(text, encoding="utf-8")
            monkeypatch.delitem(sys.modules, module, raising=False)
        registry.cache_clear()
        return find_faults("odd", build=build, expected_failures=expected)

    yield faults
    for module in PARTS:
        sys.modules.pop(module, None)
    registry.cache_clear()
