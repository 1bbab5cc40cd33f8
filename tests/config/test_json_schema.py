"""The JSON Schema accepts what zoo accepts, and refuses misspelt keys, by an independent validator."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from zoo.config.json_schema import config_schema
from zoo.registry.lookup import registry
from zoo.runs.resolve_config import resolve


@pytest.fixture(scope="module")
def validator():
    schema = config_schema(registry())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", [item.canonical for item in registry().items("recipe")])
def test_the_resolved_configuration_of_every_recipe_is_valid(validator, name) -> None:
    validator.validate(resolve(registry(), name).config.as_dict())


@pytest.mark.parametrize(
    "config",
    [
        {"recipe": "cnn_digits"},
        {"recipe": "cnn_digits", "train": {"epochs": 3}},
        {"architecture": {"name": "lenet"}, "dataset": {"name": "digits"}, "train": {"augment": "flip, crop: 4"}},
        {"architecture": {"name": "timm/resnet18"}, "dataset": {"name": "folder", "path": "photos"}},
        {"recipe": "cnn_digits", "adapt": ["lora"], "train": {"augment": ["flip", {"crop": {"padding": 4}}]}},
        {"task": {"name": "classification", "label_smoothing": 0.1}, "dataset": {"name": "digits", "resize": "never"}},
    ],
    ids=str,
)
def test_what_a_user_writes_is_valid(validator, config) -> None:
    validator.validate(config)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"recipe": "cnn_digits", "train": {"epocs": 3}}, ["train"]),
        ({"recipe": "cnn_digits", "train": {"epochs": 0}}, ["train", "epochs"]),
        ({"recipe": "cnn_digits", "trian": {}}, []),
        ({"task": {"name": "classification", "label_smoothin": 0.1}}, ["task"]),
        ({"dataset": {"name": "digits", "resize": "sometimes"}}, ["dataset", "resize"]),
        ({"architecture": {"name": "classics/cnn", "n_feature": 3}}, ["architecture"]),
    ],
    ids=str,
)
def test_a_mistake_is_found_where_it_is(validator, config: dict[str, Any], path: list[str]) -> None:
    paths = [
        list(leaf.absolute_path)
        for error in validator.iter_errors(config)
        for leaf in (error.context or [error])
        if leaf.validator != "type" or leaf.instance is not None
    ]
    assert path in paths
