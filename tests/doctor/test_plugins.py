"""Plugins that are broken, and variables that the zoo reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zoo.doctor import places, plugins
from zoo.doctor.examine import CHECKS, examine
from zoo.doctor.finding import Finding
from zoo.registry.contract_changes import ATTRIBUTE
from zoo.registry.lookup import registry

ROOT = Path(__file__).parents[2]


def by_name(findings) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


HOLLOW = """
from zoo.api import ArchitectureSpec, hookimpl

@hookimpl
def zoo_register_architectures():
    return [ArchitectureSpec(name="hollow", summary="x", target="zoo_hollow.nothing:build", input=(1, 8, 8))]
"""


@pytest.fixture
def fresh_registry():
    registry.cache_clear()
    yield
    registry.cache_clear()


def test_a_broken_plugin_and_an_item_that_cannot_be_imported_are_problems(install, fresh_registry, monkeypatch) -> None:
    install("zoo-rain", "rain", "raise RuntimeError('it is raining')")
    install("zoo-hollow", "hollow", HOLLOW)
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "onnx")
    found = by_name(plugins.states())
    assert {name: finding.level for name, finding in found.items() if finding.level != "ok"} == {
        "rain": "problem",
        "onnx": "info",
    }
    assert "it is raining" in found["rain"].says and found["rain"].fix.endswith("or set ZOO_DISABLE_PLUGINS=rain")
    assert found["onnx"].facts["state"] == "disabled"
    assert found["classics"].facts["gives"]["recipes"] == [
        spec.name for item in registry().plugins if item.namespace == "classics" for spec in item.specs["recipe"]
    ]
    (hollow,) = plugins.implementations()
    assert (hollow.name, hollow.level) == ("hollow/hollow", "problem") and "zoo_hollow.nothing" in hollow.says


def test_strict_plugins_do_not_stop_the_other_checks(install, fresh_registry, monkeypatch) -> None:
    install("zoo-rain", "rain", "raise RuntimeError('it is raining')")
    monkeypatch.setenv("ZOO_STRICT_PLUGINS", "1")
    found = dict(examine([check for check in CHECKS if check[0] in ("places", "plugins")]))
    assert {finding.level for finding in found["plugins"]} == {"problem"} and "it is raining" in found["plugins"][
        0
    ].says
    assert len(found["places"]) >= 5


def test_every_variable_that_the_zoo_reads_is_known() -> None:
    from zoo.support.environment_variables import SWITCHES, VARIABLES

    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "zoo").rglob("*.py") if path.name != "variables.py"]
    read = {name for source in sources for name in re.findall(r'"(ZOO_[A-Z_]+)"', source)} - {places.PREFIX, ATTRIBUTE}
    assert read == set(VARIABLES) and set(SWITCHES) <= set(VARIABLES)
