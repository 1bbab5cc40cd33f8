"""Help that looks the same with every version of typer, without the Python types of arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

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


class PlainCommands(typer.Typer):
    """A typer whose commands are `PlainCommand`s."""

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = PlainCommand, **settings: Any
    ) -> Callable[[Function], Function]:
        return super().command(name, cls=cls, **settings)
