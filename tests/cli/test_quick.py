"""Commands answered from a snapshot print what the long way prints, and import neither the parser nor a plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.cli import grammar, quick
from zoo.registry import snapshot
from zoo.registry.core_commands import COMMANDS
from zoo.registry.lookup import registry

LINES = [
    [],
    ["--help"],
    ["--version"],
    *([name, "--help"] for name in COMMANDS),
    ["data", "check", "-h"],
    ["svd", "--help"],
    ["list"],
    ["list", "recipes"],
    ["list", "architectures", "res*", "--plugin", "classics"],
    ["list", "--plugin=svd", "--json"],
    ["plugins"],
    ["plugins", "--json"],
    ["completion", "zsh"],
    *(["completion", "bash", "--line", f"zoo {line}"] for line in ("", "run cnn", "run --", "list --plugin ", "svd ")),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def kept(cache, monkeypatch):
    """The snapshot of this environment, made once."""
    monkeypatch.setenv("ZOO_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "80")
    if snapshot.read() is None:
        quick.remember()
    found = snapshot.read()
    assert found is not None
    return found


@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
def test_the_answer_is_that_of_the_long_way(arguments, kept, zoo, capsys) -> None:
    told = zoo(*arguments)
    assert quick.answer(arguments)
    quickly = capsys.readouterr()
    assert (quickly.out, quickly.err) == (told.out, told.err)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "cnn_digits", "--dry-run"],
        ["lst"],
        ["list", "recipe", "x", "y"],
        ["list", "nothing"],
        ["list", "--plugin"],
        ["list", "--plugin", "nobody"],
        ["list", "--jsn"],
        ["list", "--json=yes"],
        ["list", "--json", "--debug"],
        ["completion"],
        ["completion", "tcsh"],
        ["nothing", "--help"],
    ],
    ids=" ".join,
)
def test_what_is_unusual_takes_the_long_way_and_prints_nothing_before(arguments, kept, capsys) -> None:
    assert not quick.answer(arguments)
    assert capsys.readouterr() == ("", "")


def test_a_narrow_terminal_gets_help_of_its_width(kept, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert not quick.answer(["--help"])
    assert quick.answer(["list"])


def test_help_is_kept_for_the_usual_width_whatever_the_terminal_is(cache, kept, zoo, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    quick.remember()
    monkeypatch.setenv("COLUMNS", "120")
    told = zoo("run", "--help")
    assert quick.answer(["run", "--help"]) and capsys.readouterr().out == told.out


@pytest.mark.parametrize(
    "source",
    ["app = 3", "raise ValueError('no')", "raise SystemExit", "print('loud')\nimport typer\napp = typer.Typer()"],
)
def test_a_faulty_command_of_a_plugin_spoils_neither_lists_nor_completion(
    install, fresh_registry, tmp_path, monkeypatch, capsys, source
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    spec = "CommandSpec(name='rain', summary='Rain', target='zoo_rain.commands:app')"
    hook = f"@hookimpl\ndef zoo_register_commands():\n    return [{spec}]\n"
    info = install("zoo-rain", "rain", f"from zoo.api import CommandSpec, hookimpl\nZOO_API = '2.0'\n{hook}")
    (info.parent / "zoo_rain" / "commands.py").write_text(source)
    quick.remember()
    assert capsys.readouterr() == ("", "")
    assert quick.answer(["list"]) and quick.answer(["completion", "bash", "--line", "zoo ra"])
    assert capsys.readouterr().out.splitlines()[-1] == "rain"


def test_members_of_a_family_are_remembered_once_they_were_asked_for(cache, kept, zoo, capsys, monkeypatch) -> None:
    line = ["list", "architectures", "timm/resnet5*"]
    monkeypatch.setattr("zoo.cli.list_items.registry", registry)
    told = zoo(*line)
    quick.remember()
    assert quick.answer(line)
    assert capsys.readouterr().out == told.out and "timm/resnet50" in told.out


def test_parameters_are_read_as_the_parser_reads_them() -> None:
    parameters = grammar.whole()["commands"]["list"]["parameters"]
    values = {"kind": None, "pattern": None, "plugin": None, "as_json": False}
    assert quick.parsed(parameters, []) == values
    assert quick.parsed(parameters, ["--json", "tasks"]) == {**values, "as_json": True, "kind": "tasks"}
    assert quick.parsed(parameters, ["tasks", "--plugin", "a", "x*"]) == {
        **values,
        "kind": "tasks",
        "plugin": "a",
        "pattern": "x*",
    }


def run_fresh(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "zoo", *arguments],
        env={**os.environ, "ZOO_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_the_second_command_imports_neither_the_parser_nor_a_plugin(tmp_path) -> None:
    found = [run_fresh(tmp_path, "list") for _ in range(2)]
    imported = [{line.rpartition("|")[2].strip() for line in each.stderr.splitlines()} for each in found]
    heavy = {"typer", "pydantic", "pluggy", "importlib.metadata", "zoo_classics.recipes", "torch", "numpy"}
    assert imported[0] & heavy == heavy - {"torch", "numpy"} and imported[1] & heavy == set()
    assert found[0].stdout == found[1].stdout != ""
