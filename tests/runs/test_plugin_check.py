"""A run whose plugins are not as they were: what is said, by the record and the registry alone."""

from __future__ import annotations

from typing import Any

import pluggy
import pytest

from zoo.api import ArchitectureSpec, Spec
from zoo.errors import PluginError
from zoo.registry.discovery import Plugin
from zoo.registry.lookup import Registry
from zoo.runs.plugin_check import plugin_problems, require_plugins, version_notes
from zoo.runs.run_json import Record

NET = ArchitectureSpec(name="net", summary="a net", target="nowhere:build", input=(1, 8, 8))


def catalogue(*specs: Spec, version: str = "1.0", **facts: Any) -> Registry:
    """With plugin lab in this version and state."""
    plugin = Plugin("lab", "zoo-lab", version, "zoo_lab", specs={"architecture": list(specs)}, **facts)
    return Registry([plugin], pluggy.PluginManager("zoo"))


MADE = "the run was made with plugin 'lab' (zoo-lab 1.0)"
NEW = "zoo-lab 2.0 is installed"
NOBODY = Registry([], pluggy.PluginManager("zoo"))


@pytest.fixture
def record(made_run: Any) -> Record:
    """Of a run with the architecture lab/net, the dataset lab/toy and the task lab/sort."""
    found: Record = made_run("one", plugins={"lab": "zoo-lab 1.0", "other": "zoo-other 2.0"}).record
    return found


def test_a_run_whose_plugins_are_as_they_were_has_nothing_to_say(record: Record) -> None:
    here = catalogue(NET)
    require_plugins(record, here, "architecture")
    assert plugin_problems(record, here) == [] == version_notes(record, here)


@pytest.mark.parametrize(
    ("here", "told", "fix"),
    [
        (
            NOBODY,
            f"{MADE}, which is not installed",
            "pip install zoo-lab==1.0",
        ),
        (
            catalogue(version="2.0"),
            f"no architecture is called 'lab/net': {MADE}, and {NEW}, which does not have it (toy/one)",
            "pip install zoo-lab==1.0",
        ),
        (
            catalogue(state="disabled", cause="named in ZOO_DISABLE_PLUGINS"),
            f"{MADE}: plugin 'lab' is disabled: named in ZOO_DISABLE_PLUGINS (zoo-lab)",
            "take lab out of ZOO_DISABLE_PLUGINS",
        ),
        (
            catalogue(state="broken", cause="importing zoo_lab raised OSError"),
            f"{MADE}: plugin 'lab' is broken: importing zoo_lab raised OSError (zoo-lab)",
            "pip install zoo-lab==1.0",
        ),
        (
            catalogue(state="incompatible", cause="it needs contract 3.0; fix: upgrade torch-zoo"),
            f"{MADE}: plugin 'lab' is incompatible: it needs contract 3.0 (zoo-lab)",
            "upgrade torch-zoo",
        ),
    ],
    ids=["gone", "without it", "disabled", "broken", "incompatible"],
)
def test_what_is_missing_is_named_with_what_to_install(record: Record, here: Registry, told: str, fix: str) -> None:
    with pytest.raises(PluginError) as caught:
        require_plugins(record, here, "architecture")
    assert str(caught.value) == f"{told}; fix: {fix}" and caught.value.exit_code == 6
    if "no architecture" not in told:
        assert [str(each) for each in plugin_problems(record, here)] == [f"{told}; fix: {fix}"]


def test_only_what_is_needed_is_required(record: Record) -> None:
    require_plugins(record, catalogue(NET), "architecture")
    with pytest.raises(PluginError, match="'lab/sort'"):
        require_plugins(record, catalogue(NET), "architecture", "task")
    with pytest.raises(PluginError, match=r"plugin 'other' \(zoo-other 2.0\), which is not installed"):
        require_plugins(record, catalogue(NET), recipe="other/fast")


def test_another_version_is_a_note(record: Record) -> None:
    here = catalogue(NET, version="2.0")
    require_plugins(record, here, "architecture")
    assert version_notes(record, here) == [
        "the run was made with zoo-lab 1.0, but zoo-lab 2.0 is installed: results may differ"
    ]


@pytest.mark.parametrize("written", ["", "zoo-lab", "zoo-lab 1.0; rm -rf /", "a --index=http://x 1", "\x1b[2J 1.0"])
def test_no_other_text_of_a_record_gets_into_a_command(made_run: Any, written: str) -> None:
    record = made_run("one", plugins={"lab": written}).record
    (problem,) = plugin_problems(record, NOBODY)
    assert str(problem) == (
        "the run was made with plugin 'lab', which is not installed; "
        "fix: install the package that provides plugin 'lab'"
    )
