"""The command line as plain data: of each command its help, options, arguments and commands.

Completion reads it, and `zoo.registry.snapshot` keeps it, so that neither needs the parser.
"""

from __future__ import annotations

from typing import Any

WIDTH = 80
"""Columns of a terminal from which on help is as it is here: the parser makes it no wider."""


def describe(command: Any, context: Any) -> dict[str, Any]:
    """A command and those below it, as JSON data.

    Raises PluginError where a command of a plugin cannot be imported.
    """
    names = command.list_commands(context) if hasattr(command, "list_commands") else []
    below = {name: command.get_command(context, name) for name in names}
    return {
        "about": (command.help or "").partition("\n")[0],
        "help": command.get_help(context),
        "parameters": [_parameter(each, context) for each in command.get_params(context)],
        "commands": {
            name: describe(each, each.make_context(name, [], parent=context, resilient_parsing=True))
            for name, each in below.items()
        },
    }


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
    """The grammar of ``zoo``, made from the parser."""
    from typer.main import get_command

    from zoo.cli.app import app

    command = get_command(app)
    return describe(command, command.make_context("zoo", [], resilient_parsing=True))
