"""``zoo plugins``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.output import json_alone, note, plural, say, say_json
from zoo.cli.plain_command import PlainCommands
from zoo.cli.plugin_table import print_plugins
from zoo.cli.shared_options import HELP, AsJson
from zoo.errors import PluginError, UsageError
from zoo.registry.lookup import registry

plugins = PlainCommands(add_completion=False, rich_markup_mode=None, context_settings=HELP)


@plugins.callback(invoke_without_command=True)
def bare(context: typer.Context, as_json: AsJson = False) -> None:
    """Without a command, the list."""
    if context.invoked_subcommand is None:
        _print(as_json=as_json)
    elif as_json:
        raise UsageError("--json comes before the command", fix="put it at the end of the line")


@plugins.command(name="list", epilog="Example: zoo plugins list --json")
def list_plugins(as_json: AsJson = False) -> None:
    """List installed plugins: their state, the components they provide, and why a plugin could not be loaded."""
    _print(as_json=as_json)


@plugins.command(epilog="Example: zoo plugins check flowers --data meadow=tests/meadow")
def check(
    name: Annotated[str, typer.Argument(metavar="NAMESPACE", help="Namespace or import name of an installed plugin.")],
    build: Annotated[
        bool,
        typer.Option("--build/--no-build", help="Also build and run the components of the plugin; this imports torch."),
    ] = True,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="DATASET=PATH",
            help="Small example data for a dataset that reads the user's files; may be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a plugin against the plugin API.

    The checks are those of `zoo.testing.check_plugin`.
    """
    examples = dict(_example(text) for text in data or [])
    with json_alone(as_json):
        from zoo.testing import find_faults

        faults = find_faults(name, build=build, data=examples)
    if as_json:
        say_json([{"check": fault.check, "fault": str(fault)} for fault in faults])
    for fault in faults if not as_json else ():
        say(f"{fault} [{fault.check}]")
    if faults:
        raise PluginError(
            f"plugin '{name}' has {plural(len(faults), 'fault')}", fix="repair them; docs/plugins.md lists the checks"
        )
    note(f"plugin '{name}' passes every check" + ("" if build else " that needs no torch"))


def _example(text: str) -> tuple[str, str | Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise UsageError(f"--data takes DATASET=PATH, not '{text}'", fix="for example --data meadow=tests/meadow")
    return name, path


def _print(*, as_json: bool) -> None:
    with json_alone(as_json):
        found = registry().plugins
    print_plugins(found, as_json=as_json)
