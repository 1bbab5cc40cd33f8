"""Settings as keywords and dotted keys become one layer of a configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from zoo.errors import ConfigError, UsageError
from zoo.registry.lookup import registry
from zoo.runs.python_arguments import Objects, as_layer, with_objects
from zoo.runs.resolve_config import Whole, resolve

X, Y = np.zeros((8, 8, 8), np.uint8), np.arange(8) % 2


def test_keywords_dotted_keys_and_nested_mappings_are_one_layer() -> None:
    layer = as_layer({"train.epochs": 2, "dataset.resize": 28}, {"epochs": 3, "lr": 0.1, "seed": 7, "task": "lora"})
    assert layer == {"train": {"epochs": 3, "lr": 0.1}, "dataset": {"resize": 28}, "seed": 7, "task": "lora"}
    options = as_layer({"train.optimizer_options": {"nesterov": True}})["train"]["optimizer_options"]
    assert isinstance(options, Whole) and options == {"nesterov": True}
    config = resolve(registry(), "cnn_digits", overrides=as_layer({"augment": "flip", "device": "cpu"})).config
    assert config.train.augment == [{"flip": {"p": 0.5, "axis": "horizontal"}}] and config.device == "cpu"


def test_an_unknown_keyword_names_the_nearest_and_a_dotted_key_is_checked_by_the_configuration() -> None:
    with pytest.raises(UsageError, match=r"there is no setting 'epoch'; fix: did you mean epochs\?"):
        as_layer({"epoch": 2})
    with pytest.raises(ConfigError, match=r"train\.epocs: unknown key"):
        resolve(registry(), "cnn_digits", overrides=as_layer({"train.epocs": 2}))


def test_objects_take_the_place_of_names(tmp_path: Path) -> None:
    catalogue = registry()
    layer = with_objects(catalogue, None, None, {}, Objects(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), (X, Y)))
    plan = resolve(catalogue, overrides=layer)
    assert plan.architecture is not None and plan.architecture.canonical.startswith("local/sequential-")
    assert plan.dataset.canonical.startswith("local/data-") and plan.classes == ("0", "1")
    named = with_objects(catalogue, None, None, {}, Objects("cnn", "digits"))
    assert named == {"dataset": {"name": "digits"}, "architecture": {"name": "cnn"}}
    of_path = with_objects(catalogue, None, None, {}, Objects("cnn", f"folder:{tmp_path}"))
    assert of_path["dataset"] == {"name": f"folder:{tmp_path}"}


@pytest.mark.parametrize(
    ("overrides", "objects", "said"),
    [
        ({}, Objects(model=nn.Flatten()), "no data is given"),
        ({"dataset": {"name": "mnist"}}, Objects(data="digits"), "the settings name mnist, and the arguments digits"),
        ({}, Objects(data="digits", names=("a",)), "target= and names= describe arrays"),
        ({}, Objects(model=3, data="digits"), "model is a int"),
        ({}, Objects(model="nowhere.nets:petal", data="digits"), "'nowhere.nets:petal' cannot be imported"),
        ({}, Objects(data="nowhere.nets:arrays"), "'nowhere.nets:arrays' cannot be imported"),
    ],
)
def test_what_does_not_fit_together_is_refused(overrides: dict[str, object], objects: Objects, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        with_objects(registry(), None, None, overrides, objects)
