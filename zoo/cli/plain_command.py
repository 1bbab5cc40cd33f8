"""Help that looks the same with every version of typer, without the Python types of arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import DefaultPlaceholder

from zoo.support.formatting import first_sentence

Function = TypeVar("Function", bound=Callable[..., Any])


class PlainCommand(TyperCommand):
    """Usage and help show each argument as its metavar: ``NAME``, or ``[NAME]`` if it is optional."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["[OPTIONS]", *(_usage(each) for each in self.params if each.param_type_name == "argument")]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments = [(_metavar(each), _help(each)) for each in self.params if each.param_type_name == "argument"]
        options = [each.get_help_record(ctx) for each in self.get_params(ctx) if each.param_type_name == "option"]
        for heading, rows in (("Arguments", arguments), ("Options", [row for row in options if row is not None])):
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _help(argument: Any) -> str:
    return argument.help or ""


def _usage(argument: Any) -> str:
    return _metavar(argument) if argument.required else f"[{_metavar(argument)}]"


class PlainGroup(TyperGroup):
    """Help lists each command with the whole first sentence of its help; typer would end it at the end of the line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, first_sentence(each.short_help or each.help or ""))
            for name, each in commands
            if each is not None and not each.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def plain(app: typer.Typer) -> typer.Typer:
    """Give the commands of any app, such as that of a plugin, this help. Classes that a plugin chose are kept."""
    app.rich_markup_mode = None
    if app.info.cls in (None, TyperGroup) or isinstance(app.info.cls, DefaultPlaceholder):
        app.info.cls = PlainGroup
    for command in app.registered_commands:
        if command.cls in (None, TyperCommand):
            command.cls = PlainCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            plain(group.typer_instance)
    return app


class PlainCommands(typer.Typer):
    """A typer whose commands are `PlainCommand`s, and whose help is that of a `PlainGroup`."""

    def __init__(self, *, cls: type[TyperGroup] | None = PlainGroup, **settings: Any) -> None:
        super().__init__(cls=cls, **settings)

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = PlainCommand, **settings: Any
    ) -> Callable[[Function], Function]:
        return super().command(name, cls=cls, **settings)
