"""The candidates for the end of a command line, from the grammar of the command line and the catalogue.

Imports neither the parser nor a plugin.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from zoo.cli.completion_candidates import Candidates, candidates_for
from zoo.cli.completion_scripts import SCRIPTS
from zoo.cli.item_names import unknown
from zoo.cli.output import say, say_fields

if TYPE_CHECKING:
    from zoo.registry.catalogue import Catalogue

Grammar = dict[str, Any]
"""Of one command, as `zoo.cli.grammar` describes it."""


def print_completion(shell: str, line: str | None, complete: Callable[[str], Candidates]) -> None:
    """The script of ``shell`` or, for the script, what ``complete`` finds for ``line``."""
    if shell not in SCRIPTS:
        raise unknown("shell", shell, SCRIPTS, f"choose one of: {', '.join(SCRIPTS)}")
    if line is None:
        say(SCRIPTS[shell], lines=True)
        return
    for value, about in complete(line):
        say_fields(value, " ".join(about.split()))


def candidates(line: str, grammar: Grammar, catalogue: Catalogue) -> Candidates:
    """What may come where the line ends, each the whole word with something about it; none where nothing is known."""
    _, *words = split(line) or [""]
    if not words:
        return []
    *done, typed = words
    name, command, rest = _descend(grammar, done)
    if command["commands"] and any(not word.startswith("-") for word in rest):
        return []  # after the name of a command that does not exist
    return _candidates(catalogue, name, command, rest, typed)


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


def _descend(command: Grammar, words: list[str]) -> tuple[str, Grammar, list[str]]:
    """Follow the names of commands as far as they go: the last one's name, its grammar, and the words after it."""
    name = "zoo"
    while command["commands"]:
        position = next((index for index, word in enumerate(words) if not word.startswith("-")), None)
        if position is None or words[position] not in command["commands"]:
            break
        name, command, words = words[position], command["commands"][words[position]], words[position + 1 :]
    return name, command, words


def _candidates(catalogue: Catalogue, command: str, grammar: Grammar, done: list[str], typed: str) -> Candidates:
    options = {
        name: parameter
        for parameter in grammar["parameters"]
        if not parameter["argument"]
        for name in parameter["names"]
    }

    def values(parameter: Grammar, names: list[str], start: str) -> Candidates:
        """As zoo knows a parameter by its name, else the choices that it has itself."""
        known = candidates_for(catalogue, command, names, start)
        return _starting(parameter["values"] if known is None else known, start)

    waiting, given = _follow(options, done)
    if waiting is not None:
        return values(options[waiting], [waiting], typed)
    if typed.startswith("-") and "--" not in done:
        name, equals, value = typed.partition("=")
        if equals and name in options:
            return [(f"{name}={word}", about) for word, about in values(options[name], [name], value)]
        return _starting(((name, each["about"]) for name, each in options.items() if not each["hidden"]), typed)
    if grammar["commands"]:
        return _starting(((name, each["about"]) for name, each in grammar["commands"].items()), typed)
    arguments = [parameter for parameter in grammar["parameters"] if parameter["argument"]]
    if arguments and (given < len(arguments) or arguments[-1]["many"]):
        argument = arguments[min(given, len(arguments) - 1)]
        return values(argument, argument["names"], typed)
    return []


def _follow(options: dict[str, dict[str, Any]], done: list[str]) -> tuple[str | None, int]:
    """Go through the complete words: the option that waits for its value, if one does, and how many arguments were
    given."""
    waiting, given, only_arguments = None, 0, False
    for word in done:
        if waiting is not None:
            waiting = None
        elif word == "--":
            only_arguments = True
        elif word.startswith("-") and not only_arguments:
            waiting = word if word in options and not options[word]["flag"] else None
        else:
            given += 1
    return waiting, given


def _starting(found: Iterable[tuple[str, str]], typed: str) -> Candidates:
    return [(value, about) for value, about in found if value.startswith(typed)]
