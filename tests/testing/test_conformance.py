"""The conformance kit as a whole: every installed plugin passes; faults have identifiers, and may be expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo.registry.lookup import Item, Registry, load_object, registry
from zoo.testing import Fault, check_plugin, find_faults
from zoo.testing.faults import CHECKS, WITHOUT_BUILDING, Finding, guarded, is_known
from zoo.testing.tasks import Trial

Odd = Callable[..., list[Fault]]

NET = """
from zoo.api import ArchitectureSpec, hookimpl

@hookimpl
def zoo_register_architectures():
    return [ArchitectureSpec(name="net", summary="x", target="zoo_odd_parts:build", input=(1, 8, 8), smallest=8)]
"""
IDLE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.fc, self.idle = nn.Linear(inputs, outputs), nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(x.flatten(1))

def build(options, *, in_channels, num_outputs, image_size):
    assert in_channels != 4
    return Net(in_channels * image_size[0] * image_size[1], num_outputs)
"""
COMMAND = """
from zoo.api import CommandSpec, hookimpl

@hookimpl
def zoo_register_commands():
    return [CommandSpec(name="other", summary="x", target="zoo_odd_parts:app")]
"""
GRADIENTS, CHANNELS = "architecture/net/gradients", "architecture/net/channels"


LARGE = ("inception_v3", "resnet101", "resnet152", "resnet34", "vgg11", "vgg13", "vgg19")
"""Networks of a plugin that differ from a smaller one of it in depth alone (inception_v3: in most of its blocks): their
check takes seconds each, and is slow."""


@pytest.mark.parametrize("namespace", [plugin.namespace for plugin in registry().plugins])
def test_every_installed_plugin_keeps_the_contract(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    items = Registry.items

    def smaller(self: Registry, kind: str, *arguments: Any, **options: Any) -> list[Item[Any]]:
        found = items(self, kind, *arguments, **options)
        return [item for item in found if kind != "architecture" or item.spec.name not in LARGE]

    monkeypatch.setattr(Registry, "items", smaller)
    check_plugin(namespace)


@pytest.mark.parametrize("name", ["classification", "multi_label", "regression", "segmentation", "retrieval"])
def test_each_task_is_tried_with_data_of_its_own_kind(name: str) -> None:
    """A task that refused the kit's data would keep the contract without being checked."""
    item = registry().task(name)
    trial = Trial(item, load_object(str(item.spec.target), item), item.spec.accepts[0])
    assert list(trial.findings()) == [] and len(trial.made) == 1


@pytest.mark.slow
def test_the_large_networks_keep_the_contract_too() -> None:
    check_plugin("classics")


def test_the_large_networks_are_there() -> None:
    assert set(LARGE) < {item.spec.name for item in registry().items("architecture", namespace="classics")}


def test_a_plugin_is_found_by_its_module_too() -> None:
    assert find_faults("zoo_datasets", build=False) == []


def test_a_namespace_that_is_not_there_is_said() -> None:
    with pytest.raises(AssertionError, match=r"no plugin has the namespace 'nowhere'.*pip install -e"):
        check_plugin("nowhere")


# --------------------------------------------------------------------------------------------------- of a whole plugin


@pytest.mark.parametrize(
    ("source", "parts", "check", "fault"),
    [
        ("raise RuntimeError('no')", "", "state", "the plugin is broken: importing zoo_odd raised RuntimeError: no"),
        ("import numpy", "", "import", "importing zoo_odd imports numpy"),
        ("import os\nos.environ['ZOO_DATA'] = '/x'", "", "global_state", "changed environment variables in its import"),
        ("import random\nrandom.seed(1)", "", "global_state", "changed the random state of Python in its import"),
        ("import warnings\nwarnings.simplefilter('ignore')", "", "global_state", "changed warning filters in its"),
    ],
)
def test_each_fault_of_a_plugin_is_named(odd: Odd, source: str, parts: str, check: str, fault: str) -> None:
    found = odd(source, parts, imported=True)
    assert any(fault in line and line.check == f"plugin/{check}" for line in found), found


def test_a_plugin_states_the_contract_it_was_written_for(odd: Odd) -> None:
    found = odd("", version="")
    assert [line.check for line in found] == ["plugin/contract"]
    assert "it states no plugin API version" in found[0] and 'ZOO_API = "2.0" in zoo_odd' in found[0]


def test_a_command_group_bears_the_name_of_its_plugin(odd: Odd) -> None:
    found = odd(COMMAND, "def app(): ...")
    assert [line.check for line in found] == ["command/other/name"] and "as name: 'odd'" in found[0]


# --------------------------------------------------------------------------------------- identifiers, expected failures


def test_every_fault_is_in_the_one_assertion_with_its_check(odd: Odd) -> None:
    odd(NET, IDLE)
    with pytest.raises(AssertionError, match="plugin 'odd' violates the plugin API") as caught:
        check_plugin("odd")
    told = str(caught.value).splitlines()
    assert len(told) == 3
    assert told[1].endswith(f"[{CHANNELS}]") and told[2].endswith(f"[{GRADIENTS}]")


def test_an_expected_failure_is_no_fault(odd: Odd) -> None:
    found = odd(NET, IDLE, expected={GRADIENTS: "the layer is for later"})
    assert [line.check for line in found] == [CHANNELS]
    check_plugin("odd", expected_failures={GRADIENTS: "the layer is for later", CHANNELS: "it knows three"})


def test_an_unexpected_pass_is_a_fault(odd: Odd) -> None:
    both = {GRADIENTS: "the layer is for later", CHANNELS: "it knows three"}
    found = odd(NET, IDLE, expected={**both, "architecture/net/saving": "it forgets"})
    told = "unexpected pass: 'architecture/net/saving' did not fail (it forgets); remove it from expected_failures"
    assert found == [told] and found[0].check == "architecture/net/saving"


@pytest.mark.parametrize("name", ["architecture/net/gradient", "net/gradients", "gradients", "model/net/gradients"])
def test_an_expected_failure_of_no_check_is_a_fault(odd: Odd, name: str) -> None:
    found = odd(NET, IDLE.replace("nn.Linear(3, 3)", "None").replace("!= 4", "> 0"), build=False, expected={name: "?"})
    assert found == [f"expected_failures: '{name}' is not a check: write KIND/NAME/CHECK, as shown behind each fault"]


def test_without_building_what_needs_it_is_not_expected_to_fail(odd: Odd) -> None:
    assert odd(NET, IDLE, build=False, expected={GRADIENTS: "the layer is for later"}) == []
    found = find_faults("odd", build=False, expected_failures={"architecture/net/target": "?"})
    assert [line.check for line in found] == ["architecture/net/target"]


def test_an_exception_is_a_finding_of_its_check_and_the_last() -> None:
    def findings() -> Iterator[Finding]:
        yield Finding("one", "first")
        raise SystemExit(2)

    assert list(guarded("two", findings())) == [Finding("one", "first"), Finding("two", "raised SystemExit: 2")]


def test_identifiers_are_known() -> None:
    assert all(is_known(f"{kind}/x/{check}") for kind, checks in CHECKS.items() for check in checks if kind != "plugin")
    assert is_known("plugin/import") and is_known("family/flock/net/gradients")
    assert not is_known("plugin/x/import") and not is_known("family/flock/gradients")
    assert all(check in CHECKS[kind] for kind, check in WITHOUT_BUILDING)


def test_the_documentation_lists_every_check() -> None:
    page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    for kind, checks in CHECKS.items():
        for check, text in checks.items():
            name = f"plugin/{check}" if kind == "plugin" else f"{kind}/NAME/{check}"
            assert f"| `{name}` | {text} |" in page
