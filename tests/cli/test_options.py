"""A command's options as one object, and the configuration keys that some of them give."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from zoo.cli.gradients import GradientsOptions
from zoo.cli.options import ConfigKey, keys_of, overrides_of, takes
from zoo.cli.run import RunOptions


@dataclass(frozen=True)
class LabOptions:
    name: Annotated[str, typer.Argument(metavar="NAME")]
    rate: Annotated[str | None, typer.Option("--rate", "-r", metavar="X"), ConfigKey("train.lr")] = None
    plain: Annotated[bool, typer.Option("--plain"), ConfigKey("train.compile")] = False
    count: Annotated[int, typer.Option("--count")] = 3


def test_a_command_gets_its_options_as_one_object() -> None:
    seen: list[LabOptions] = []
    app = typer.Typer()

    @app.command()
    @takes(LabOptions)
    def lab(options: LabOptions) -> None:
        """What it does."""
        seen.append(options)

    assert list(inspect.signature(lab).parameters) == [field.name for field in fields(LabOptions)]
    assert lab.__doc__ == "What it does."
    assert CliRunner().invoke(app, ["net", "-r", "0.1", "--count", "5"]).exit_code == 0
    assert seen == [LabOptions("net", rate="0.1", count=5)]
    assert CliRunner().invoke(app, []).exit_code == 2


def test_only_what_was_given_is_a_layer_of_the_configuration() -> None:
    assert list(keys_of(LabOptions)) == [("rate", "--rate", "train.lr"), ("plain", "--plain", "train.compile")]
    assert overrides_of(LabOptions("net"), None) == {}
    assert overrides_of(LabOptions("net", rate="1e-3", plain=True), ["seed=4"]) == {
        "train": {"lr": "1e-3", "compile": "true"},
        "seed": 4,
    }


@pytest.mark.parametrize("options", [RunOptions, GradientsOptions])
def test_a_flag_means_the_same_key_in_every_command(options: type) -> None:
    due = {flag: path for _, flag, path in keys_of(RunOptions)}
    assert all(due[flag] == path for _, flag, path in keys_of(options))
    assert due["--name"] == "name" and due["--data"] == "dataset.name" and due["--weights"] == "weights"
