"""What several commands share: their settings, and the options that mean the same in each."""

from __future__ import annotations

from typing import Annotated

import typer

HELP = {"help_option_names": ["-h", "--help"]}

AsJson = Annotated[bool, typer.Option("--json", help="As JSON on stdout, and nothing else there.")]


def group(text: str) -> typer.Typer:
    """A command that has commands of its own; called by itself it shows its help."""
    made = typer.Typer(help=text, add_completion=False, rich_markup_mode=None, context_settings=HELP)

    @made.callback(invoke_without_command=True)
    def main(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return made
