"""The command as a whole: help, exit codes, one line for every fault, and the commands of plugins."""

from __future__ import annotations

import inspect
import json
import os
import shlex
import subprocess
import sys

import pytest
import typer
from typer.main import get_command

from zoo.api import VERSION
from zoo.cli import app
from zoo.cli.app import run_cli
from zoo.errors import CheckpointError, DataError, ExportError, SetupError, StorageError
from zoo.registry.core_commands import COMMANDS, EXAMPLES, SECTIONS
from zoo.registry.lookup import registry

SVD = """
from zoo.api import CommandSpec, hookimpl

@hookimpl
def zoo_register_commands():
    return [CommandSpec(name="fourier", summary="Singular values of images", target="zoo_fourier.commands:app")]
"""
SVD_COMMANDS = """
import typer

app = typer.Typer()

@app.command()
def compress(rank: int):
    print(f"rank {rank}")
"""


def run_fresh(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ)
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]], ids=["nothing", "--help", "-h"])
def test_help_names_every_command(zoo, arguments) -> None:
    told = zoo(*arguments)
    assert told.code == 0 and told.err == ""
    listed = told.out.partition("--help")[2]
    assert [name for name in COMMANDS if f"\n  {name} " not in listed] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_help(zoo, command) -> None:
    told = zoo(command, "--help")
    assert told.code == 0
    assert COMMANDS[command][1].split()[0] in told.out and f"Usage: zoo {command}" in told.out


def test_the_help_has_every_command_under_a_heading_and_an_example_for_each(zoo) -> None:
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(COMMANDS)
    assert [line[:-1] for line in zoo("--help").out.splitlines() if line[:-1] in SECTIONS] == list(SECTIONS)


@pytest.mark.parametrize("command", EXAMPLES)
def test_the_example_of_a_command_is_a_line_that_it_takes(zoo, command) -> None:
    first, name, *arguments = shlex.split(EXAMPLES[command])
    assert (first, name) == ("zoo", command)
    found = get_command(app.app).get_command(None, command)  # type: ignore[arg-type]
    found.make_context(command, arguments)  # raises a UsageError for what it does not know
    assert f"Example: {EXAMPLES[command]}" in " ".join(zoo(command, "--help").out.split())


@pytest.mark.parametrize("group", ["plugins", "weights", "data", "svd"])
def test_the_help_of_a_group_has_the_whole_first_sentence_of_each_command(zoo, group) -> None:
    context = get_command(app.app).make_context("zoo", [], resilient_parsing=True)
    found = context.command.get_command(context, group)
    shown = " ".join(zoo(group, "--help").out.partition("Commands:")[2].split())
    for name, command in found.commands.items():
        sentence = " ".join(command.help.split()).partition(". ")[0].rstrip(".")
        assert f"{name} {sentence}" in shown
    assert "..." not in shown


@pytest.mark.parametrize("command", ["svd decode", "svd export", "svd ellipse"])
def test_the_commands_of_a_plugin_have_the_help_of_the_others(zoo, command) -> None:
    shown = zoo(*command.split(), "--help").out
    usage, arguments = shown.splitlines()[0], shown.partition("Arguments:\n")[2].splitlines()[0]
    assert "{" not in usage and not {"<", "[required]"} & set(arguments.split())
    assert usage.split()[-1] == arguments.split()[0]
    assert "[default:" not in shown and "Example: zoo svd" in " ".join(shown.split())


def test_a_range_is_said_in_words(zoo) -> None:
    for command in COMMANDS:
        assert "x>=" not in zoo(command, "--help").out
    assert zoo("info", "lenet", "--classes", "0").err == (
        "error: --classes: must be a whole number of at least 1, not '0'; fix: for example --classes 10\n"
    )


def test_a_group_or_its_help_has_an_example_where_it_is_no_group() -> None:
    single = [name for name in COMMANDS if not hasattr(get_command(app.app).get_command(None, name), "commands")]  # type: ignore[arg-type]
    assert set(single) == set(EXAMPLES)


@pytest.mark.parametrize("group", sorted(set(COMMANDS) - set(EXAMPLES)))
def test_each_command_of_a_group_has_an_example_that_it_takes(zoo, group) -> None:
    found = get_command(app.app).get_command(None, group)  # type: ignore[arg-type]
    for name, command in found.commands.items():
        shown = " ".join(zoo(group, name, "--help").out.split()).partition("Example: ")[2]
        first, *words, last = shlex.split(shown)
        assert (first, *words[:2]) == ("zoo", group, name)
        command.make_context(name, [*words[2:], last])


def test_the_version_is_the_distribution_s(zoo) -> None:
    from importlib import metadata

    version, names = metadata.version("torch-zoo"), ", ".join(plugin.namespace for plugin in registry().plugins)
    lines = [f"zoo {version}, plugin API {VERSION}", f"plugins of torch-zoo {version}: {names}"]
    assert zoo("--version") == (0, "\n".join(lines) + "\n", "")


LIGHT = [
    *("--help", "list", "list recipes", "list --json", "plugins", "runs", "run --help", "data path", "completion bash"),
    *(
        f"completion bash --line=zoo${words}"
        for words in ("", "run$", "run$--data=", "evaluate$", "run$--device$", "run$--set$train.", "data$check$")
    ),
]


@pytest.mark.parametrize("command", LIGHT)
def test_light_commands_import_neither_torch_nor_numpy(command) -> None:
    script = (
        "import sys; from zoo.cli.app import run_cli; code = run_cli(sys.argv[1:])\n"
        "heavy = [name for name in ('torch', 'numpy', 'timm', 'matplotlib', 'rich', 'onnxruntime', 'sklearn') if name "
        "in sys.modules]\n"
        "print('\\nHEAVY', heavy); sys.exit(code)"
    )
    done = run_fresh("-c", script, *(word.replace("$", " ") for word in command.split()))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_python_m_zoo_is_the_command() -> None:
    done = run_fresh("-m", "zoo", "lst")
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "error: no command is called 'lst'; fix: did you mean list?\n",
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rnu"], "no command is called 'rnu'; fix: did you mean run or runs?"),
        (["zzz"], "no command is called 'zzz'; fix: see `zoo --help`"),
        (["run", "cnn_digits", "--epoch", "3"], "No such option: --epoch; fix: did you mean"),
        (["info"], "Missing argument 'NAME'; fix: see `zoo info --help`"),
        (["run", "cnn_digits", "--lr"], "Option '--lr' requires an argument; fix: see `zoo run --help`"),
        (["list", "recipes", "x", "y"], "Got unexpected extra argument"),
    ],
    ids=["near", "far", "option", "missing", "no value", "too many"],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(zoo, arguments, line) -> None:
    told = zoo(*arguments)
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(f"error: {line}") and told.err.count("\n") == 1 and "; fix: " in told.err


@pytest.mark.parametrize(
    ("error", "code"),
    [(DataError, 3), (CheckpointError, 4), (ExportError, 5), (SetupError, 6), (StorageError, 7)],
    ids=str,
)
def test_each_group_of_errors_has_its_exit_code(zoo, monkeypatch, error, code) -> None:
    def fail() -> None:
        raise error("it went wrong", where="here", fix="do better")

    monkeypatch.setattr("zoo.cli.plugins.registry", fail)
    assert zoo("plugins") == (code, "", "error: it went wrong (here); fix: do better\n")


def test_an_unexpected_error_is_one_line_and_asks_for_a_report(zoo, monkeypatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr("zoo.cli.plugins.registry", fail)
    told = zoo("plugins")
    assert told.code == 1 and told.err.count("\n") == 1
    assert (
        told.err.startswith("error: unexpected ZeroDivisionError: first second; a bug: please report it")
        and "--debug" in told.err
    )


@pytest.mark.parametrize("arguments", [["--debug", "plugins"], ["plugins", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(zoo, monkeypatch, arguments) -> None:
    def fail() -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("zoo.cli.plugins.registry", fail)
    told = zoo(*arguments)
    assert (
        told.code == 1
        and "Traceback (most recent call last)" in told.err
        and told.err.splitlines()[-1].startswith("error: unexpected")
    )


def test_an_interrupt_has_its_code() -> None:
    script = (
        "import signal, sys, zoo.cli.plugins as command\ndef fail(): signal.raise_signal(signal.SIGINT)\n"
        "command.registry = fail\nfrom zoo.cli.app import run_cli\nsys.exit(run_cli(['plugins']))"
    )
    done = run_fresh("-c", script)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("raised", [SystemExit(0), KeyboardInterrupt()], ids=repr)
def test_a_plugin_cannot_end_a_command_as_if_it_were_done_or_stopped(zoo, monkeypatch, raised) -> None:
    def fail() -> None:
        raise raised

    monkeypatch.setattr("zoo.cli.plugins.registry", fail)
    told = zoo("plugins")
    assert told.code == 6 and f"a plugin tried to end the command: {type(raised).__name__}" in told.err


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo", "list", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), errors) == (141, b"")


def test_a_plugin_s_command_group_is_listed_and_runs(zoo, install, fresh_registry) -> None:
    site = install("zoo-fourier", "fourier", SVD).parent
    (site / "zoo_fourier" / "commands.py").write_text(SVD_COMMANDS, encoding="utf-8")
    assert "zoo_fourier.commands" not in sys.modules
    listed = zoo("--help")
    assert "Singular values of images" in listed.out
    assert "zoo_fourier.commands" not in sys.modules, "help must not load the group"
    assert zoo("fourier", "compress", "60") == (0, "rank 60\n", "")
    assert zoo("fourier", "compress", "many").code == 2
    del sys.modules["zoo_fourier.commands"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_plugin_cannot_take_the_place_of_a_command(zoo, install, fresh_registry, command) -> None:
    install("zoo-taker", command, SVD.replace('"fourier"', f'"{command}"').replace("zoo_fourier", "zoo_taker"))
    told = zoo(command, "--help")
    assert told.code == 0 and "Singular values of images" not in told.out
    row = next(row for row in json.loads(zoo("plugins", "--json").out) if row["distribution"] == "zoo-taker")
    assert (row["namespace"], row["state"], row["gives"]) == (command, "conflict", {})
    assert (
        row["cause"] == f"`zoo {command}` is a command of the core; fix: zoo-taker must name its entry point otherwise"
    )
    assert f"{command}: conflict: {row['cause']}" in zoo("plugins").out


PRINTING = """
from zoo.api import CommandSpec, hookimpl
print("hello from an import")
"""


@pytest.mark.parametrize(
    "command", ["list", "info digits", "plugins", "show digits", "data path digits", "data check digits", "doctor"]
)
def test_json_is_alone_on_stdout_even_where_a_plugin_prints(
    zoo, install, fresh_registry, tmp_path, monkeypatch, command
) -> None:
    install("zoo-loud", "loud", PRINTING)
    monkeypatch.chdir(tmp_path)
    told = zoo(*command.split(), "--json")
    assert told.code == 0 and json.loads(told.out), told.err
    assert command == "doctor" or "hello from an import" in told.err


def test_every_command_is_a_function_with_help_for_each_option() -> None:
    for name, (reference, _) in COMMANDS.items():
        module, _, attribute = reference.partition(":")
        found = getattr(__import__(module, fromlist=[attribute]), attribute)
        for function in (
            [command.callback for command in found.registered_commands] if isinstance(found, typer.Typer) else [found]
        ):
            assert inspect.getdoc(function) or function is found, f"zoo {name} {function.__name__} has no help"
            for parameter in inspect.signature(function, eval_str=True).parameters.values():
                assert parameter.annotation.__metadata__[0].help, f"zoo {name}: {parameter.name} has no help"


def test_the_parser_s_errors_are_known_from_any_copy_of_click() -> None:
    """typer before 0.26 raises the errors of the click distribution, which have the same form."""
    click = pytest.importorskip("click")
    assert app.usage_line(click.NoSuchOption("--epoch", possibilities=["--epochs"]), []).endswith(
        "; fix: did you mean --epochs?"
    )
    assert (
        app.usage_line(click.UsageError("Missing argument."), ["info"])
        == "Missing argument; fix: see `zoo info --help`"
    )
    assert app.usage_line(ValueError("x"), []) is None


def test_run_cli_takes_the_process_s_arguments_by_default(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["zoo", "--version"])
    assert run_cli() == 0 and capsys.readouterr().out.startswith("zoo ")


@pytest.mark.parametrize(("path", "code"), [("a" * 5000, 7), ("", 2), ("/", 2)])
def test_a_path_that_cannot_be_is_one_line_with_a_fix(path, code, tmp_path, capsys) -> None:
    source = tmp_path / "weights.pth"
    source.write_bytes(b"no pickle")
    assert run_cli(["weights", "convert", str(source), path]) in (code, 4)
    told = capsys.readouterr().err
    assert "; fix: " in told and "a bug" not in told and told.count("\n") == 1
