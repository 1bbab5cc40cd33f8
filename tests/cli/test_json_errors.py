"""With ``--json``, an error is JSON on stdout as well as a line on stderr; stdout never holds two documents."""

from __future__ import annotations

import json

import pytest

from zoo.registry.core_commands import COMMANDS


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("info nosuch", {"type": "UnknownNameError", "what": "no item is called 'nosuch'", "exit_code": 2}),
        ("list nosuch", {"type": "UnknownNameError", "where": None, "exit_code": 2}),
        ("run cnn_digits --set train.epocs=3", {"type": "ConfigError", "exit_code": 2}),
        ("run cnn_digits --data folder:nowhere", {"type": "DataError", "exit_code": 3}),
        ("run cnn_digits --no-such-option", {"exit_code": 2, "details": []}),
        ("report nowhere", {"exit_code": 2}),
    ],
)
def test_an_error_is_json_too(zoo, tmp_path, monkeypatch, line, expected) -> None:
    monkeypatch.chdir(tmp_path)
    told = zoo(*line.split(), "--json")
    error = json.loads(told.out)["error"]
    assert set(error) == {"type", "what", "where", "fix", "details", "exit_code"}
    assert {**error, **expected} == error and error["exit_code"] == told.code
    assert told.err.startswith(f"error: {error['what']}") and error["fix"] in told.err


def test_several_problems_are_a_list(zoo) -> None:
    told = zoo("run", "cnn_digits", "--set", "train.epocs=3", "--set", "train.lr=-1", "--json")
    details = json.loads(told.out)["error"]["details"]
    assert len(details) == 2 and any("epocs" in each for each in details)


def test_an_unexpected_error_is_json_too(zoo, monkeypatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("first")

    monkeypatch.setattr("zoo.cli.plugins.registry", fail)
    error = json.loads(zoo("plugins", "list", "--json").out)["error"]
    assert (error["type"], error["exit_code"]) == ("ZeroDivisionError", 1) and "report" in error["what"]


def test_after_the_results_stdout_gets_no_second_document(zoo, install, fresh_registry) -> None:
    spec = "CommandSpec(name='rain', summary='Rain', target='zoo_rain:nothing')"
    hook = f"@hookimpl\ndef zoo_register_commands():\n    return [{spec}]\n"
    install("zoo-rain", "rain", f"from zoo.api import hookimpl, CommandSpec\nzoo_contract = '2.0'\n{hook}")
    told = zoo("plugins", "check", "rain", "--no-build", "--json")
    assert told.code == 6 and [each["check"] for each in json.loads(told.out)] != []
    assert "has 1 fault" in told.err or "faults" in told.err


def test_without_json_stdout_stays_empty(zoo) -> None:
    for command in COMMANDS:
        told = zoo(command, "--no-such-option")
        assert (told.code, told.out) == (2, "")
