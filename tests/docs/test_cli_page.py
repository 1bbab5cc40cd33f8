"""docs/cli.md: its reference is what the commands are, its JSON has the keys that they print.

`python tests/docs/test_cli_page.py` writes the reference anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from zoo.cli.app import app, run_cli
from zoo.cli.shared_options import AsJson
from zoo.errors import ZooError
from zoo.registry.core_commands import COMMANDS
from zoo.support.environment_variables import VARIABLES

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
BEGIN, END = "<!-- reference: written by tests/docs/test_cli_page.py -->", "<!-- end of the reference -->"
WITHOUT_JSON = {"zoo completion", "zoo schema"}
"""Commands whose output is a script already."""


def commands(context: Any) -> Iterator[Any]:
    """The context of every command of the core that does something, in the order of the help."""
    if not hasattr(context.command, "list_commands"):
        yield context
        return
    for name in COMMANDS if context.parent is None else context.command.list_commands(context):
        command = context.command.get_command(context, name)
        yield from commands(command.make_context(name, [], parent=context, resilient_parsing=True))


def every() -> list[Any]:
    return list(commands(get_command(app).make_context("zoo", [], resilient_parsing=True)))


def reference() -> str:
    return "\n".join([BEGIN, *(line for context in every() for line in section(context)), "", END])


def section(context: Any) -> Iterator[str]:
    yield from ("", f"### `{context.command_path}`", "", (context.command.help or "").partition("\n")[0], "")
    yield from ("| | |", "| --- | --- |")
    for parameter in context.command.params:
        yield f"| `{signature(parameter)}` | {cell(parameter.help or '')} |"


def signature(parameter: Any) -> str:
    metavar = str(parameter.metavar or parameter.name.upper())
    if parameter.param_type_name == "argument":
        return metavar.strip("[]").replace("|", "\\|")
    names = ", ".join(parameter.opts)
    return names if parameter.is_flag else f"{names} {metavar}".replace("|", "\\|")


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_reference_has_every_command_with_every_flag() -> None:
    found = page()
    assert BEGIN in found and END in found
    shown = found[found.index(BEGIN) : found.index(END) + len(END)]
    assert shown == reference(), "the reference is out of date: run `python tests/docs/test_cli_page.py`"


def test_every_command_has_json_and_says_so_alike() -> None:
    help_text = AsJson.__metadata__[0].help
    for context in every():
        flags = {name: parameter for parameter in context.command.params for name in parameter.opts}
        if context.command_path not in WITHOUT_JSON:
            assert "--json" in flags and flags["--json"].help == help_text, (
                f"{context.command_path}: use zoo.cli.shared_options.AsJson"
            )


def test_the_page_lists_every_variable() -> None:
    lines = ["| variable | what |", "| --- | --- |", *(f"| `{name}` | {what} |" for name, what in VARIABLES.items())]
    assert "\n".join(lines) in page()


def test_the_page_lists_every_exit_code() -> None:
    def codes(error: type[ZooError]) -> set[int]:
        return {error.exit_code}.union(*map(codes, error.__subclasses__()))

    listed = re.findall(r"^\| ([\d, ]+) \|", page(), re.M)
    assert codes(ZooError) <= {int(code) for cell in listed for code in cell.split(",")}


# ---------------------------------------------------------------------------------------------------------- JSON shapes

SHOWN = re.findall(
    r"\$ (zoo [^\n]*--json[^\n]*)\n```\n+```json\n(.*?)```",
    PAGE.read_text(encoding="utf-8") if PAGE.exists() else "",
    re.S,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with two short runs and a bundle, as the commands of the page expect them."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ZOO_OFFLINE", "1")
        for name in ("first", "second"):
            assert run_cli(["run", "cnn_digits", "--epochs", "1", "--name", name, "--set", "dataset.resize=16"]) == 0
        assert run_cli(["export", "first", "--onnx"]) == 0
    return folder


def shape(value: Any) -> Any:
    """What must agree: keys of a mapping, of the first entry of a list; not what is in places that are free (metrics,
    facts, …)."""
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return list(value) if isinstance(value, dict) else None


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command for command, _ in SHOWN])
def test_the_json_of_the_page_has_the_keys_that_are_printed(command, shown, trained, monkeypatch, capsys) -> None:
    if command.startswith("zoo tune"):
        pytest.importorskip("optuna", reason="optuna is not installed (pip install 'torch-zoo[tune]')")
    monkeypatch.chdir(trained)
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")  # for zoo bench: compiling takes most of a minute
    for name in ("ZOO_RUNS", "ZOO_EXPORTS"):
        monkeypatch.delenv(name)
    capsys.readouterr()
    words = command.split()[1:]
    images = sorted(str(path) for path in trained.glob("runs/cnn_digits/first/samples/*.png"))
    code = run_cli([images[0] if word == "photo.png" else word for word in words])
    told = capsys.readouterr()
    assert code == 0, told.err
    printed, written = json.loads(told.out), json.loads(shown)
    assert shape(written) == shape(printed)
    for key, inner in written.items() if isinstance(written, dict) else ():
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            assert shape(inner) == shape(printed[key]), key


def test_json_of_every_kind_of_command_is_shown() -> None:
    # info has what its item has
    assert {words.split()[1] for words, _ in SHOWN} == set(COMMANDS) - {
        "info",
        "completion",
        "schema",
    }


if __name__ == "__main__":
    text = page()
    PAGE.write_text(text[: text.index(BEGIN)] + reference() + text[text.index(END) + len(END) :], encoding="utf-8")
