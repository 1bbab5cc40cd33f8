"""The command line as plain data: of each command its help, options, arguments and commands.

Completion reads it, and `zoo.registry.snapshot` keeps it, so that neither needs the parser.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from zoo.support.formatting import first_sentence

WIDTH = 80
"""Columns of a terminal from which on help is as it is here: the parser makes it no wider."""


UNKNOWN: dict[str, Any] = {"about": "", "help": None, "parameters": [], "commands": {}}
"""A command of a plugin that cannot be described; calling it says why."""


def describe(command: Any, context: Any) -> dict[str, Any]:
    """Return a command and those below it as JSON data."""
    names = command.list_commands(context) if hasattr(command, "list_commands") else []
    return {
        "about": first_sentence(command.help or ""),
        "help": command.get_help(context),
        "parameters": [_parameter(each, context) for each in command.get_params(context)],
        "commands": {name: _below(command, context, name) for name in names},
    }


def _below(command: Any, context: Any, name: str) -> dict[str, Any]:
    try:
        found = command.get_command(context, name)
        return describe(found, found.make_context(name, [], parent=context, resilient_parsing=True))
    except Exception:  # whatever a plugin raises ends neither completion nor a list
        return UNKNOWN


def _parameter(parameter: Any, context: Any) -> dict[str, Any]:
    argument = parameter.param_type_name == "argument"
    # RUN in [RUN], RUN... and RUN RUN...
    called = str(parameter.metavar or parameter.name).strip("[]").split()[0].strip("[].")
    return {
        "keyword": parameter.name,
        "names": [called] if argument else [name for name in parameter.opts if name.startswith("-")],
        "argument": argument,
        "about": getattr(parameter, "help", None) or "",
        "hidden": bool(getattr(parameter, "hidden", False)),
        "flag": bool(getattr(parameter, "is_flag", False)),
        "required": bool(parameter.required),
        "many": parameter.nargs == -1,
        "values": [
            [item.value, item.help or ""] for item in parameter.shell_complete(context, "") if item.type == "plain"
        ],
    }


def whole() -> dict[str, Any]:
    """Return the grammar of ``zoo``, made from the parser, with help for a terminal of `WIDTH` columns.

    What the commands of plugins print or change on being imported is said when they are called.
    """
    from typer.main import get_command

    from zoo.cli.app import app
    from zoo.registry.plugin_calls import changes_reported

    command = get_command(app)
    with redirect_stdout(StringIO()), changes_reported(lambda _: None):
        return describe(command, command.make_context("zoo", [], resilient_parsing=True, terminal_width=WIDTH - 2))
