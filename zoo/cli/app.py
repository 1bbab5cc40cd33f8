"""The command ``zoo``: commands are imported when they are called, and every fault becomes one line and an exit
code."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, Any

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for them scans every installed distribution
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler would print its own progress; read with torch

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from zoo.cli.failures import INTERRUPTED, fail, path_line, usage_line
from zoo.cli.item_names import unknown
from zoo.cli.output import forget_json, say
from zoo.cli.plain_command import PlainCommands, plain
from zoo.cli.shared_options import HELP
from zoo.errors import PluginError, StorageError, ZooError, report_to
from zoo.registry.core_commands import COMMANDS, EXAMPLES, SECTIONS
from zoo.registry.plugin_isolation import Escaped, contained


class LazyGroup(TyperGroup):
    """The core's commands, then a group for each plugin that registers one under its namespace."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS, *_plugin_groups()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS:
            return _load_command(cmd_name)
        groups = _plugin_groups()
        if cmd_name not in groups:
            raise unknown("command", cmd_name, self.list_commands(ctx), "see `zoo --help`")
        from zoo.registry.lookup import load_object

        found = load_object(groups[cmd_name].spec.target, groups[cmd_name])
        return get_group(plain(found))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for heading, names in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names])
        groups = _plugin_groups()
        if groups:
            with formatter.section("Plugin commands"):
                formatter.write_dl([(name, item.spec.summary) for name, item in groups.items()])


def _plugin_groups() -> dict[str, Any]:
    """By namespace, which no plugin can share with another, nor with a command of the core."""
    from zoo.registry.lookup import registry

    return {item.plugin.namespace: item for item in registry().items("command")}


def _load_command(name: str) -> Any:
    reference, text = COMMANDS[name]
    module, _, attribute = reference.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.help = text
        return group
    details = (inspect.getdoc(found) or "").partition("\n\n")[2]
    single = PlainCommands(add_completion=False, rich_markup_mode=None)
    single.command(
        name, help=f"{text}\n\n{details}".strip(), epilog=f"Example: {EXAMPLES[name]}", context_settings=HELP
    )(found)
    return get_command(single)


app = typer.Typer(
    cls=LazyGroup, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=HELP
)


@app.callback(invoke_without_command=True)
def main(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the versions of zoo, its plugin API and the installed plugins.")
    ] = False,
    _debug: Annotated[
        bool, typer.Option("--debug", help="Show the full traceback of an error; valid anywhere on the command line.")
    ] = False,
) -> None:
    """Train any compatible combination of network, dataset and task, and export verified models."""
    if version:
        from zoo.api import VERSION
        from zoo.cli.plugin_table import versions
        from zoo.registry.lookup import core_version, registry

        say("\n".join(versions(core_version(), VERSION, registry().plugins)), lines=True)
    elif ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def run_cli(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; nothing is raised."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    debug, as_json = "--debug" in options, "--json" in options
    for _ in range(options.count("--debug")):
        arguments.remove("--debug")
    _print_any_character()
    forget_json()
    try:
        return _invoke(arguments)
    except (Exception, KeyboardInterrupt) as error:
        line, code = _explained(error, arguments, debug)
        return fail(line, code, error, debug=debug, as_json=as_json)


def _explained(error: BaseException, arguments: Sequence[str], debug: bool) -> tuple[str, int]:
    """Return the message for an error, and its exit code."""
    if isinstance(error, KeyboardInterrupt):
        return "stopped by Ctrl-C", INTERRUPTED
    if isinstance(error, ZooError):
        return str(error), error.exit_code
    if isinstance(error, Exception):
        usage = usage_line(error, arguments)
        if usage is not None:
            return usage, 2
        path = path_line(error)
        if path is not None:
            return path, StorageError.exit_code if isinstance(error, OSError) else 2
    what = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    hint = "" if debug else "; fix: add --debug to see where, and report it"
    return f"unexpected {what}; a bug: please report it{hint}", 1


def _invoke(arguments: list[str]) -> int:
    """What click's own main does, without its handling of errors, which differs between the versions of typer."""
    group = get_command(app)
    ours = arguments[:1] and arguments[0] in COMMANDS  # a plugin's own commands may end themselves as they like
    try:
        with group.make_context("zoo", arguments) as context, contained() if ours else nullcontext():
            group.invoke(context)
    except Escaped as error:
        raise PluginError(
            f"a plugin tried to end the command: {error}", fix=f"add --debug to see which, and {report_to()}"
        ) from error
    except typer.Exit as exit_:
        return exit_.exit_code
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    return 0


def _print_any_character() -> None:
    """A name or a × that the terminal's encoding lacks is shown as an escape, and is no error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
