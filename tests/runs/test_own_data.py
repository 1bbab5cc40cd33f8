"""The recipe for a user's own data: chosen by the size of its weights, and by what is here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from zoo.errors import UsageError
from zoo.runs import own_data
from zoo.runs.own_data import choose, sentence

SIZES = {"small": 5_000_000, "middle": 45_000_000, "large": 100_000_000}


class Catalogue:
    """Recipes with weights of different sizes, one of them not for own data."""

    def items(self, _kind: str) -> list[Any]:
        specs = [
            SimpleNamespace(name=name, architecture=name, dataset="d", parameters={"weights": "w"}, own_data={})
            for name in SIZES
        ]
        specs.append(SimpleNamespace(name="x", architecture="large", dataset="d", parameters={}, own_data=None))
        return [SimpleNamespace(spec=spec, canonical=spec.name) for spec in specs]

    def dataset(self, _name: str) -> Any:
        return SimpleNamespace(spec=SimpleNamespace(targets=("classes",)))

    def architecture(self, name: str) -> Any:
        return SimpleNamespace(spec=SimpleNamespace(name=name, weights={"w": SimpleNamespace(size=SIZES[name])}))


@pytest.mark.parametrize(
    ("gpu", "cores", "here", "due"),
    [
        (True, 1, (), "large"),
        (False, 2, (), "small"),
        (False, 8, (), "middle"),
        (False, 8, ("small",), "small"),
        (False, 2, ("large",), "small"),
        (True, 2, ("small", "middle"), "middle"),
    ],
)
def test_the_largest_affordable_weights_and_first_those_that_are_here(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, cores: int, here: tuple[str, ...], due: str
) -> None:
    monkeypatch.setattr(own_data, "is_here", lambda architecture, _weights: architecture.spec.name in here)
    offer = choose(Catalogue(), "classes", "folder:x", gpu=gpu, cores=cores)  # type: ignore[arg-type]
    assert offer.recipe.spec.name == due
    assert f"weights, {SIZES[due] / 1e6:.0f} MB" in sentence(offer, "classes", "folder:x")
    assert ("(in the data folder)" in sentence(offer, "classes", "folder:x")) == (due in here)


def test_a_kind_without_a_recipe_names_the_command() -> None:
    with pytest.raises(UsageError, match="zoo run ARCHITECTURE --data folder:x"):
        choose(Catalogue(), "values", "folder:x", gpu=False)  # type: ignore[arg-type]
