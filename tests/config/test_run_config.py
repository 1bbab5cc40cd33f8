"""The one model of a run's configuration."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from zoo.config.run_config import SCHEMA, RunConfig, check_run_name

LEAST = {"dataset": {"name": "toy"}, "task": {"name": "sort"}}


def test_the_least_is_a_dataset_and_a_task() -> None:
    config = RunConfig.model_validate(LEAST)
    assert (config.architecture, config.seed, config.device, config.schema_version) == (None, 0, "auto", SCHEMA)


def test_a_config_survives_a_round_trip_through_plain_data() -> None:
    sections = {
        "dataset": {"name": "toy", "val_fraction": 0.1, "own": [1, 2]},
        "architecture": {"name": "net", "depth": 3, "shape": {"a": [1]}},
    }
    config = RunConfig.model_validate(
        {**LEAST, **sections, "train": {"lr": 0.1, "optimizer_options": {"betas": [0.9, 0.99], "fused": True}}}
    )
    plain = config.as_dict()
    assert next(iter(plain)) == "schema"
    assert RunConfig.model_validate(plain) == config
    assert config.dataset.options == {"own": [1, 2]}
    assert config.architecture is not None
    assert config.architecture.options == {"depth": 3, "shape": {"a": [1]}}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *[(("train", "epochs"), value) for value in (0, -1, "text", 1.5, None)],
        *[(("train", "lr"), value) for value in (float("nan"), float("inf"), 0, -0.1, "fast", None)],
        *[(("train", "batch_size"), value) for value in (0, "abc")],
        *[(("train", "weight_decay"), value) for value in (-1, float("nan"))],
        *[(("train", "momentum"), value) for value in (1.0, -0.1)],
        *[(("train", "clip_norm"), value) for value in (0, float("inf"))],
        *[(("dataset", "val_fraction"), value) for value in (1.0, -0.1, "half")],
        *[(("dataset", "resize"), value) for value in (0, "sometimes")],
        *[(("dataset", "permute_pixels"), value) for value in (-1, "yes")],
        (("train", "precision"), "fp8"),
        (("train", "keep_checkpoints"), 1),
        (("schema",), SCHEMA + 1),
        (("seed",), -1),
        (("seed",), 2**63),
        (("threads",), 0),
        (("unknown",), 1),
    ],
)
def test_values_that_make_no_sense_are_refused_where_they_stand(place: tuple[str, ...], value: Any) -> None:
    nested: Any = value
    for key in reversed(place):
        nested = {key: nested}
    values = {**LEAST, **nested}
    if place[0] == "dataset":
        values["dataset"] = {"name": "toy", **nested["dataset"]}
    with pytest.raises(ValidationError) as caught:
        RunConfig.model_validate(values)
    assert {fault["loc"][: len(place)] for fault in caught.value.errors()} == {place}


@pytest.mark.parametrize("name", ["a", "run-1", "Ünicode_2.0", "x" * 100, "console", "com", "nul-1"])
def test_a_plain_name_can_name_a_run(name: str) -> None:
    check_run_name(name)
    assert RunConfig.model_validate({**LEAST, "name": name}).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../up",
        "a/b",
        "a\\b",
        "/etc",
        "line\nbreak",
        "tab\t",
        "nul\0",
        ".hidden",
        "-flag",
        "a b",
        "C:",
        "ends.",
        "con",
        "NUL.run",
        "Com1",
        "x" * 101,
    ],
)
def test_case_8_a_name_that_is_no_folder_s_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is not a valid run name"):
        RunConfig.model_validate({**LEAST, "name": name})


def test_assignments_are_checked_too() -> None:
    config = RunConfig.model_validate(LEAST)
    with pytest.raises(ValidationError):
        config.train.lr = -1
    with pytest.raises(ValidationError):
        config.name = "../up"
