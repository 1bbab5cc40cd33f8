"""``zoo completion``: the shell's script, and the candidates that it asks for. Never imports torch."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli import line_completion
from zoo.cli.completion_candidates import Candidates
from zoo.cli.line_completion import print_completion
from zoo.errors import ZooError


def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
    line: Annotated[
        str | None,
        typer.Option("--line", metavar="TEXT", help="Used by the script: print the candidates for this command line."),
    ] = None,
) -> None:
    """The script that completes command lines in bash, zsh or fish.

    Put it where your shell looks for it, once:

    \b
    bash   zoo completion bash > ~/.local/share/bash-completion/completions/zoo
    zsh    zoo completion zsh > ~/.zfunc/_zoo      (with fpath+=~/.zfunc before compinit in ~/.zshrc)
    fish   zoo completion fish > ~/.config/fish/completions/zoo.fish

    or evaluate it in your ~/.bashrc or ~/.zshrc (there after compinit): eval "$(zoo completion bash)"
    """
    print_completion(shell, line, candidates)


def candidates(line: str) -> Candidates:
    """What may come where the line ends; nothing where a plugin is at fault."""
    from zoo.cli import grammar
    from zoo.registry.lookup import registry

    try:
        return line_completion.candidates(line, grammar.whole(), registry())
    except (ZooError, OSError):
        return []
