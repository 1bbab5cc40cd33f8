"""``zoo completion``: the shell's script, and the candidates that it asks for. Never imports torch."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from zoo.cli.completion_candidates import Candidates, candidates_for
from zoo.cli.completion_scripts import SCRIPTS
from zoo.cli.item_names import unknown
from zoo.cli.output import say, say_fields
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
    if shell not in SCRIPTS:
        raise unknown("shell", shell, SCRIPTS, f"choose one of: {', '.join(SCRIPTS)}")
    if line is None:
        say(SCRIPTS[shell], lines=True)
        return
    for value, about in candidates(line):
        say_fields(value, " ".join(about.split()))


def candidates(line: str) -> Candidates:
    """What may come where the line ends, each the whole word with something about it.

    None where nothing is known, and on every error.
    """
    from typer.main import get_command

    from zoo.cli.app import app

    _, *words = split(line) or [""]
    if not words:
        return []
    *done, typed = words
    try:
        context, rest = _descend(get_command(app).make_context("zoo", [], resilient_parsing=True), done)
        return _candidates(context, rest, typed)
    except (ZooError, OSError):
        return []


def split(line: str) -> list[str]:
    """A command line's words, the last one as far as it is typed: an open quote is no error."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        for word in lexer:
            words.append(word)  # noqa: PERF402 - those before an open quote are kept
    except ValueError:
        return [*words, lexer.token]
    return [*words, ""] if line[-1:].isspace() else words


def _descend(context: Any, words: list[str]) -> tuple[Any, list[str]]:
    """Follow the names of commands as far as they go."""
    while hasattr(context.command, "list_commands"):
        position = next((index for index, word in enumerate(words) if not word.startswith("-")), None)
        if position is None:
            break
        name = words[position]
        found = context.command.get_command(context, name)
        if found is None:
            break
        context, words = found.make_context(name, [], parent=context, resilient_parsing=True), words[position + 1 :]
    return context, words


def _candidates(context: Any, done: list[str], typed: str) -> Candidates:
    parameters = context.command.get_params(context)  # with --help
    options = {
        name: parameter for parameter in parameters for name in getattr(parameter, "opts", ()) if name.startswith("-")
    }
    waiting, given = _follow(options, done)
    if waiting is not None:
        return _values(context, options[waiting], [waiting], typed)
    if typed.startswith("-") and "--" not in done:
        name, equals, value = typed.partition("=")
        if equals and name in options:
            return [(f"{name}={word}", about) for word, about in _values(context, options[name], [name], value)]
        return _starting(
            ((name, parameter.help or "") for name, parameter in options.items() if not parameter.hidden), typed
        )
    if hasattr(context.command, "list_commands"):
        return _starting(_commands(context), typed)
    arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
    if arguments and (given < len(arguments) or arguments[-1].nargs == -1):
        argument = arguments[min(given, len(arguments) - 1)]
        # RUN in [RUN], RUN... and RUN RUN...
        called = str(argument.metavar or argument.name).strip("[]").split()[0].strip("[].")
        return _values(context, argument, [called], typed)
    return []


def _follow(options: dict[str, Any], done: list[str]) -> tuple[str | None, int]:
    """Go through the complete words: the option that waits for its value, if one does, and how many arguments were
    given."""
    waiting, given, only_arguments = None, 0, False
    for word in done:
        if waiting is not None:
            waiting = None
        elif word == "--":
            only_arguments = True
        elif word.startswith("-") and not only_arguments:
            waiting = word if word in options and not options[word].is_flag else None
        else:
            given += 1
    return waiting, given


def _values(context: Any, parameter: Any, names: list[str], typed: str) -> Candidates:
    """What may stand for a parameter: as the zoo knows it by its name, else as the parameter itself says."""
    known = candidates_for(context.info_name, names, typed)
    if known is None:
        known = [
            (item.value, item.help or "") for item in parameter.shell_complete(context, typed) if item.type == "plain"
        ]
    return _starting(known, typed)


def _commands(context: Any) -> Candidates:
    from zoo.registry.core_commands import COMMANDS

    names = context.command.list_commands(context)
    if context.parent is None:  # help of the core's commands is known without importing them
        return [(name, COMMANDS[name][1] if name in COMMANDS else "") for name in names]
    return [(name, (context.command.get_command(context, name).help or "").partition("\n")[0]) for name in names]


def _starting(candidates: Any, typed: str) -> Candidates:
    return [(value, about) for value, about in candidates if value.startswith(typed)]
