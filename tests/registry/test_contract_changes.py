"""The contract version that a plugin states, and what an error says to a plugin of contract 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from zoo import api, hookspecs
from zoo.api import VERSION
from zoo.errors import PluginError
from zoo.registry import contract_changes
from zoo.registry.catalogue import Plugin
from zoo.registry.contract_changes import EVENTS, FIELDS, incompatibility, old_arguments, renamed
from zoo.registry.discovery import discover
from zoo.registry.lookup import Registry

Install = Callable[..., Path]
NOTHING = "from zoo.api import hookimpl\n"


@pytest.mark.parametrize(
    ("stated", "ours", "upgrade"),
    [
        ("2.0", "2.0", None),
        ("2.0", "2.3", None),
        ("2.4", "2.3", "torch-zoo"),
        ("3.0", "2.3", "torch-zoo"),
        ("1.6", "2.0", "zoo-lab to a version for plugin API 2.x"),
        ("2.10", "2.9", "torch-zoo"),
    ],
)
def test_the_package_to_upgrade_is_named(stated: str, ours: str, upgrade: str | None) -> None:
    told = incompatibility(stated, ours, "zoo-lab", "torch-zoo")
    if upgrade is None:
        assert told is None
    else:
        assert told is not None and told.endswith(f"; fix: upgrade {upgrade}")
        assert f"it needs plugin API {stated}, and the installed torch-zoo has {ours}" in told


@pytest.mark.parametrize("stated", [2.0, "2", "two", "", None, "2.0.1", ("2", "0"), "-1.0"])
def test_what_is_no_version_is_refused(stated: object) -> None:
    with pytest.raises(ValueError, match="ZOO_API is "):
        incompatibility(stated, "2.0", "zoo-lab", "torch-zoo")


@pytest.mark.parametrize(("spec", "field"), FIELDS)
def test_a_field_that_was_renamed_is_named(spec: str, field: str) -> None:
    model = type(spec, (BaseModel,), {"model_config": ConfigDict(extra="forbid")})
    with pytest.raises(ValidationError) as caught:
        model(**{field: 1})
    assert renamed(caught.value) == f"{spec}.{field} is now {FIELDS[spec, field]}"
    with pytest.raises(ValidationError) as other:
        model(unheard_of=1)
    assert renamed(other.value) is None and renamed(ValueError()) is None


def test_a_name_that_was_renamed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contract_changes.NAMES, "Sample", "Split")
    with pytest.raises(ImportError) as caught:
        from zoo.api import Sample  # type: ignore[attr-defined]  # noqa: F401
    assert renamed(caught.value) == "zoo.api.Sample is now Split"
    assert renamed(ImportError("cannot import name 'Sample' from 'elsewhere'")) is None


def test_the_arguments_of_event_hooks_have_a_place_in_the_event() -> None:
    for hook, values in EVENTS.items():
        event = hookspecs.__dict__[hook].__annotations__["event"]
        fields = {name.removeprefix("event.") for name in values.values()}
        assert fields <= set(getattr(api, event).__dataclass_fields__)
    told = old_arguments("zoo_epoch_ended", lambda run, row: None)
    assert told == "zoo_epoch_ended takes one argument, event: run is now event.run, row is now event.metrics"
    assert old_arguments("zoo_epoch_ended", lambda event: None) is None
    assert old_arguments("zoo_register_tasks", lambda run: None) is None


# ------------------------------------------------------------------------------------------------------ planted plugins


def found(namespace: str) -> Plugin:
    return next(plugin for plugin in discover()[0] if plugin.namespace == namespace)


OLD_EVENT = NOTHING + "@hookimpl\ndef zoo_run_ended(run, status): pass\n"
OLD_FIELD = """
from zoo.api import TaskSpec, hookimpl
from pydantic import BaseModel, ConfigDict

class ArchitectureSpec(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str

@hookimpl
def zoo_register_architectures():
    return [ArchitectureSpec(name="old", classes=10, arguments={})]
"""


@pytest.mark.parametrize(
    ("source", "state", "words"),
    [
        ('ZOO_API = "99.0"\n', "incompatible", ["needs plugin API 99.0", "fix: upgrade torch-zoo"]),
        ('ZOO_API = "1.6"\n', "incompatible", ["needs plugin API 1.6", "fix: upgrade zoo-lab"]),
        ("ZOO_API = 2.0\n", "broken", ["ZOO_API is 2.0, where text like"]),
        (OLD_EVENT, "incompatible", ["zoo_run_ended takes one argument, event", "status is now event.status"]),
        (
            OLD_FIELD,
            "incompatible",
            ["written for plugin API 1", "classes is now num_outputs", "arguments is now builder_options", "zoo-lab"],
        ),
    ],
    ids=["newer", "older", "no text", "event", "fields"],
)
def test_a_plugin_of_another_contract_is_incompatible(
    install: Install, source: str, state: str, words: list[str]
) -> None:
    install("zoo-lab", "lab", source)
    plugins, manager = discover()
    plugin = next(each for each in plugins if each.namespace == "lab")
    assert plugin.state == state
    for word in words:
        assert word in (plugin.cause or "")
    with pytest.raises(PluginError) as caught:
        Registry(plugins, manager).task("lab/sort")
    assert str(caught.value).count("fix:") == 1 and caught.value.exit_code == 6


def test_a_plugin_that_states_none_is_loaded_with_a_note(install: Install) -> None:
    install("zoo-lab", "lab", NOTHING)
    plugin = found("lab")
    assert (plugin.state, plugin.contract) == ("ok", None)
    assert (
        plugin.note
        == f'it states no plugin API version, and {VERSION} is assumed; fix: ZOO_API = "{VERSION}" in zoo_lab'
    )


def test_first_party_plugins_state_the_version() -> None:
    plugins = [plugin for plugin in discover()[0] if plugin.distribution == "torch-zoo"]
    assert {(plugin.contract, plugin.note) for plugin in plugins} == {(VERSION, None)}
