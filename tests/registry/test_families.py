"""Families: members by name and pattern, and families that are at fault."""

from __future__ import annotations

from typing import Any

import pluggy
import pytest

from zoo.api import ArchitectureSpec, FamilySpec, Spec
from zoo.errors import PluginError, UnknownNameError, UsageError
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Registry


def architecture(name: str, **facts: Any) -> ArchitectureSpec:
    return ArchitectureSpec(
        **{"name": name, "summary": "a net", "target": "nowhere:build", "input": (1, 8, 8), **facts}
    )


def plugin(namespace: str, **specs: list[Spec]) -> Plugin:
    return Plugin(namespace, f"zoo-{namespace}", "1.0", f"zoo_{namespace}", specs=specs)


def catalogue(*plugins: Plugin) -> Registry:
    return Registry(list(plugins), pluggy.PluginManager("zoo"))


class Flock:
    """A family of birds; `odd` is described as something else, and `shy` not at all."""

    version = "1"

    def names(self) -> list[str]:
        return ["robin", "wren", "zebra", "odd", "shy"]

    def spec(self, name: str) -> ArchitectureSpec:
        if name == "shy":
            raise RuntimeError("it flew away")
        return architecture("wren" if name == "odd" else name)


class Silent:
    version = "1"

    def names(self) -> list[str]:
        raise OSError("the sources are gone")


FLOCK, SILENT = Flock(), Silent()


def family(target: str) -> FamilySpec:
    return FamilySpec(name="birds", summary="birds", target=f"{__name__}:{target}", examples=("robin",))


@pytest.fixture
def birds() -> Registry:
    """A zebra of the savanna, a family that has a zebra too, and one more that shares only its wren."""
    more = plugin("wood", family=[family("FLOCK")])
    return catalogue(
        plugin("savanna", architecture=[architecture("zebra"), architecture("lion")]),
        plugin("sky", family=[family("FLOCK")]),
        more,
    )


def test_a_member_has_its_bare_name_where_nobody_else_has() -> None:
    alone = catalogue(plugin("savanna", architecture=[architecture("zebra")]), plugin("sky", family=[family("FLOCK")]))
    assert (alone.architecture("robin").canonical, alone.architecture("robin").kind) == ("sky/robin", "architecture")
    assert alone.architecture("zebra").canonical == "savanna/zebra"  # what is registered goes first
    assert alone.architecture("sky/zebra").canonical == "sky/zebra"
    assert alone.runnable("robin").canonical == "sky/robin" == alone.find_any("sky/robin")[0].canonical


def test_a_name_of_two_families_is_ambiguous(birds: Registry) -> None:
    with pytest.raises(UsageError, match=r"(?=.*ambiguous)(?=.*sky/robin)(?=.*wood/robin)"):
        birds.architecture("robin")
    assert birds.architecture("wood/robin").plugin.namespace == "wood"


def test_members_are_listed_by_pattern_and_namespace(birds: Registry) -> None:
    assert [member.canonical for member in birds.members("r*")] == ["sky/robin", "wood/robin"]
    assert [member.canonical for member in birds.members("sky/*n")] == ["sky/robin", "sky/wren"]
    assert [member.canonical for member in birds.members(namespace="wood")] == [
        "wood/odd",
        "wood/robin",
        "wood/shy",
        "wood/wren",
        "wood/zebra",
    ]
    assert birds.items("architecture", "robin") == []
    assert [item.canonical for item in birds.items("family")] == ["sky/*", "wood/*"]


@pytest.mark.parametrize(("name", "near"), [("sky/wrem", "sky/wren"), ("wrenn", "wren")])
def test_an_unknown_member_gets_the_nearest_ones(birds: Registry, name: str, near: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        birds.architecture(name)
    assert near in str(caught.value).partition("did you mean")[2]


@pytest.mark.parametrize(
    ("name", "cause"),
    [("shy", "RuntimeError: it flew away"), ("odd", "TypeError: an ArchitectureSpec of that name is due")],
)
def test_a_member_that_is_described_wrongly_is_the_plugin_s_fault(birds: Registry, name: str, cause: str) -> None:
    with pytest.raises(PluginError) as caught:
        birds.architecture(f"sky/{name}")
    for words in (f"family 'sky/*' could not describe '{name}'", cause, "zoo-sky"):
        assert words in str(caught.value)


def test_a_family_that_cannot_be_listed_is_as_if_it_had_no_members_and_is_blamed_where_it_is_asked_for() -> None:
    both = catalogue(plugin("savanna", architecture=[architecture("lion")]), plugin("sky", family=[family("SILENT")]))
    assert both.members() == []
    assert both.architecture("lion").canonical == "savanna/lion"
    assert "OSError: the sources are gone" in str(both.faults["sky"])
    with pytest.raises(PluginError, match=r"family 'sky/\*' could not be listed: OSError"):
        both.architecture("sky/robin")
    with pytest.raises(UnknownNameError, match="lion"):
        both.architecture("lionn")


def test_a_family_whose_library_is_missing_is_blamed_alike() -> None:
    broken = catalogue(
        plugin("sky", family=[FamilySpec(name="birds", summary="x", target="zoo_no_such:FAMILY", examples=("a",))])
    )
    with pytest.raises(PluginError, match="No module named 'zoo_no_such'"):
        broken.architecture("sky/robin")
