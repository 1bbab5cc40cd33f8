"""The names of a family: asked for once, remembered for as long as plugin and library stay, and never trusted where
they are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from zoo.api import ArchitectureSpec
from zoo.registry.family_cache import listed, spec_of
from zoo.registry.lookup import registry
from zoo.support.paths import cache_root


class Flock:
    """A family that counts how often it is asked."""

    def __init__(self, *names: str, version: str = "1.0") -> None:
        self._names, self.version, self.asked = names, version, 0

    def names(self) -> tuple[str, ...]:
        self.asked += 1
        return self._names

    def spec(self, name: str) -> Any:
        self.asked += 1
        if name not in self._names:
            raise KeyError(name)
        return ArchitectureSpec(name=name, summary="a bird", target="zoo_birds.build:build", input=(3, 32, 32))


@pytest.fixture
def file() -> Path:
    return cache_root() / "families" / "birds.flock.json"


def test_names_are_asked_for_once(file: Path) -> None:
    family = Flock("robin", "wren")
    assert [list(listed("birds/flock", "zoo-birds 1.0", family)) for _ in range(3)] == [["robin", "wren"]] * 3
    assert family.asked == 1
    assert json.loads(file.read_text()) == {"of": ["zoo-birds 1.0", "1.0"], "names": ["robin", "wren"]}


@pytest.mark.parametrize(
    ("distribution", "version"),
    [("zoo-birds 1.1", "1.0"), ("zoo-birds 1.0", "2.0")],
    ids=["another plugin", "another library"],
)
def test_another_version_is_asked_again(distribution: str, version: str) -> None:
    listed("birds/flock", "zoo-birds 1.0", Flock("robin"))
    assert listed("birds/flock", distribution, Flock("wren", version=version)) == ["wren"]
    assert listed("birds/flock", "zoo-birds 1.0", Flock("robin")) == ["robin"]


def test_families_do_not_share_what_is_remembered() -> None:
    assert listed("birds/flock", "zoo-birds 1.0", Flock("robin")) == ["robin"]
    assert listed("birds/gaggle", "zoo-birds 1.0", Flock("goose")) == ["goose"]
    assert listed("geese/flock", "zoo-birds 1.0", Flock("gander")) == ["gander"]


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "null", '{"of": 3}', '{"of": ["zoo-birds 1.0", "1.0"], "names": [3]}', "\xff"]
)
def test_a_damaged_file_is_written_anew(file: Path, damage: str) -> None:
    listed("birds/flock", "zoo-birds 1.0", Flock("robin"))
    file.write_bytes(damage.encode("latin-1"))
    assert listed("birds/flock", "zoo-birds 1.0", Flock("robin")) == ["robin"]
    assert json.loads(file.read_text())["names"] == ["robin"]


def test_where_nothing_can_be_kept_names_are_asked_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    family = Flock("robin")
    assert [list(listed("birds/flock", "zoo-birds 1.0", family)) for _ in range(2)] == [["robin"]] * 2
    assert family.asked == 2


@pytest.mark.parametrize("name", ["Robin", "blue tit", "../robin", "", "a/b"])
def test_a_name_that_is_none_is_an_error_and_nothing_is_kept(file: Path, name: str) -> None:
    with pytest.raises(ValidationError):
        listed("birds/flock", "zoo-birds 1.0", Flock("wren", name))
    assert not file.exists()


# ---------------------------------------------------------------------------------------------------------------- specs


@pytest.fixture
def member() -> Path:
    return cache_root() / "families" / "birds.flock" / "robin.json"


def described(family: Flock, package: str = "zoo_birds", distribution: str = "zoo-birds 1.0") -> Any:
    return spec_of("birds/flock", distribution, family, "robin", package)


def test_a_member_is_described_once(member: Path) -> None:
    family = Flock("robin")
    assert [described(family) for _ in range(3)] == [Flock("robin").spec("robin")] * 3
    assert family.asked == 1 and json.loads(member.read_text())["of"] == ["zoo-birds 1.0", "1.0"]


@pytest.mark.parametrize(
    "other", [{"distribution": "zoo-birds 1.1"}, {"family": Flock("robin", version="2.0")}], ids=["plugin", "library"]
)
def test_a_member_of_another_version_is_described_again(other: dict[str, Any]) -> None:
    described(Flock("robin"))
    asked = {"family": Flock("robin"), **other}
    described(**asked)
    assert asked["family"].asked == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("target", "os:system"),
        ("target", "zoo_birds_of_prey.build:build"),
        ("options", "subprocess:run"),
        ("name", "wren"),
        ("input", "large"),
        ("unknown", 1),
    ],
)
def test_a_changed_description_is_not_used(member: Path, key: str, value: Any) -> None:
    described(Flock("robin"))
    kept = json.loads(member.read_text())
    kept["spec"][key] = value
    member.write_text(json.dumps(kept))
    family = Flock("robin")
    assert described(family) == family.spec("robin") and family.asked == 2
    assert json.loads(member.read_text())["spec"] != kept["spec"]


def test_a_member_that_is_built_elsewhere_is_not_remembered(member: Path) -> None:
    described(Flock("robin"), package="zoo_geese")
    assert not member.exists()


def test_a_member_that_is_none_is_not_remembered(member: Path) -> None:
    with pytest.raises(KeyError):
        described(Flock("wren"))
    assert not member.exists()


def test_the_specs_of_the_installed_families_survive_being_remembered() -> None:
    for family in registry().items("family"):
        for name in family.spec.examples[:2]:
            first = registry().architecture(f"{family.plugin.namespace}/{name}").spec
            files = list((cache_root() / "families").glob(f"{family.plugin.namespace}.*/{name}.json"))
            assert len(files) == 1
            assert ArchitectureSpec.model_validate(json.loads(files[0].read_text())["spec"]) == first
