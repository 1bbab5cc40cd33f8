"""The recipe for a user's own data: chosen by the size of its weights, by what is here, and by ``--quality``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from zoo.errors import DataError, UsageError
from zoo.registry.lookup import registry
from zoo.runs import own_data
from zoo.runs.own_data import choose, sentence
from zoo.runs.resolve_config import resolve

SIZES = {"small": 5_000_000, "middle": 45_000_000, "large": 100_000_000}


class Catalogue:
    """Recipes with weights of different sizes, one of them not for own data, one without weights, one for quality."""

    def items(self, _kind: str) -> list[Any]:
        common: dict[str, Any] = {"own_data": {}, "quality": False, "dataset": "classes"}
        weights = {"parameters": {"weights": "w"}}
        specs = [SimpleNamespace(name=name, architecture=name, **{**common, **weights}) for name in SIZES]
        specs.append(SimpleNamespace(name="x", architecture="large", parameters={}, **{**common, "own_data": None}))
        plain = {**common, "dataset": "mask"}
        specs.append(SimpleNamespace(name="plain", architecture="small", parameters={}, **plain))
        better = {**common, **weights, "quality": True}
        specs.append(SimpleNamespace(name="better", architecture="large", **better))
        return [SimpleNamespace(spec=spec, canonical=spec.name) for spec in specs]

    def dataset(self, name: str) -> Any:
        return SimpleNamespace(spec=SimpleNamespace(targets=(name,)))

    def architecture(self, name: str) -> Any:
        return SimpleNamespace(spec=SimpleNamespace(name=name, weights={"w": SimpleNamespace(size=SIZES[name])}))


def chosen(kind: str = "classes", **settings: Any) -> own_data.Offer:
    catalogue: Any = Catalogue()
    return choose(catalogue, kind, "folder:x", **{"gpu": lambda: False, **settings})


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
    offer = chosen(gpu=lambda: gpu, cores=cores)
    assert offer.recipe.spec.name == due
    told = sentence(offer, "classes", "folder:x")
    assert f"one class per image; using recipe {due} with pretrained weights, {SIZES[due] / 1e6:.0f} MB" in told
    assert ("(in the data folder)" in told) == (due in here)


def test_a_recipe_without_weights_needs_no_gpu_to_be_looked_for() -> None:
    offer = chosen("mask", gpu=lambda: pytest.fail("torch was imported for it"))
    assert (offer.recipe.spec.name, offer.size, offer.here) == ("plain", 0, True)
    assert "has a mask per image, with a class for each pixel; using recipe plain; --arch" in sentence(
        offer, "mask", "folder:x"
    )


def test_quality_chooses_among_the_recipes_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_data, "is_here", lambda _architecture, _weights: True)
    assert chosen(quality=True).recipe.spec.name == "better"
    with pytest.raises(UsageError, match=r"no recipe for --quality; fix: leave --quality out"):
        chosen("mask", quality=True)


@pytest.mark.parametrize(("kind", "due"), [("classes", ""), ("multi_label", "_labels"), ("values", "_numbers")])
def test_quality_fine_tunes_on_classes_labels_and_numbers(kind: str, due: str) -> None:
    offer = choose(registry(), kind, "folder:x", gpu=lambda: False, quality=True, cores=1)
    recipe = offer.recipe.spec
    assert recipe.name.endswith(f"_finetune{due}")
    assert recipe.parameters["adapt"][0]["fine_tune"] and recipe.parameters["train"]["evaluate_start"]
    assert {**recipe.parameters.get("dataset", {}), **recipe.own_data["dataset"]}["val_fraction"] == 0.2


def test_a_kind_without_a_recipe_names_the_command() -> None:
    with pytest.raises(UsageError, match="zoo run ARCHITECTURE --data folder:x"):
        chosen("values")


def test_quality_is_for_own_data_only() -> None:
    with pytest.raises(UsageError, match="--quality is for your own data"):
        resolve(registry(), "lenet_digits", quality=True)


def test_a_wrong_path_is_told_before_a_recipe_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(own_data, "choose", lambda *_args, **_settings: pytest.fail("a recipe was chosen"))
    with pytest.raises(DataError, match="nothing is at the path of the dataset"):
        resolve(registry(), f"folder:{tmp_path / 'missing'}")


def test_a_weights_file_chooses_the_recipe_of_its_network(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(bytes(2_000_000))
    monkeypatch.setattr(own_data, "is_here", lambda _architecture, _weights: False)
    monkeypatch.setattr(own_data, "fits", lambda _registry, item, _file: item.spec.name == "middle")
    offer = chosen(file=file, cores=1)
    assert (offer.recipe.spec.name, offer.here) == ("middle", True)
    assert "using recipe middle; --arch" in sentence(offer, "classes", "folder:x")
    monkeypatch.setattr(own_data, "fits", lambda *_: False)
    with pytest.raises(UsageError, match=r"none of the networks .*small, middle, large.*fix: add --arch NAME"):
        chosen(file=file)
