"""Commands that only show what is installed, answered from a snapshot: neither the parser nor a plugin is imported.
Whatever is unusual takes the long way: no snapshot, a word that is not understood, an error.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from zoo.cli.grammar import WIDTH
from zoo.cli.line_completion import candidates, print_completion
from zoo.cli.listing import print_items
from zoo.cli.output import say
from zoo.cli.plugin_table import print_plugins, versions
from zoo.errors import ZooError
from zoo.registry import snapshot
from zoo.registry.catalogue import NotRemembered

if TYPE_CHECKING:
    from zoo.registry.snapshot import Snapshot

HELP = ("-h", "--help")


def _list(kept: Snapshot, kind: str | None, pattern: str | None, plugin: str | None, as_json: bool) -> None:
    print_items(kept.catalogue, kind, pattern, plugin, as_json=as_json)


def _plugins(kept: Snapshot, as_json: bool) -> None:
    print_plugins(kept.catalogue.plugins, as_json=as_json)


def _completion(kept: Snapshot, shell: str, line: str | None) -> None:
    print_completion(shell, line, lambda text: candidates(text, kept.commands, kept.catalogue))


QUICK: dict[tuple[str, ...], Callable[..., None]] = {
    ("list",): _list,
    ("plugins",): _plugins,
    ("plugins", "list"): _plugins,
    ("completion",): _completion,
}
"""Commands that can be answered so: each takes the snapshot and the parameters of its command, by their names."""


def wanted(arguments: Sequence[str]) -> bool:
    """Whether such a command was typed, or help was."""
    first = next((word for word in arguments if not word.startswith("-")), None)
    return (first,) in QUICK or first is None or any(word in HELP for word in arguments)


def answer(arguments: Sequence[str]) -> bool:
    """Print what was asked for, if it can be done from a snapshot; else nothing, and return False."""
    if not wanted(arguments):
        return False
    kept = snapshot.read()
    if kept is None:
        return False
    try:
        return _answer(kept, list(arguments))
    except (ZooError, NotRemembered):
        return False


def remember() -> None:
    """After a command that took the long way: keep what it found out."""
    from zoo.api import VERSION
    from zoo.cli import grammar
    from zoo.registry.lookup import core_version, registry

    snapshot.write(core_version(), VERSION, registry(), grammar.whole())


def _answer(kept: Snapshot, words: list[str]) -> bool:
    if words == ["--version"]:
        say("\n".join(versions(kept.core, kept.contract, kept.catalogue.plugins)), lines=True)
        return True
    path, command, rest = list[str](), kept.commands, words
    while rest and rest[0] in command["commands"]:
        path, command, rest = [*path, rest[0]], command["commands"][rest[0]], rest[1:]
    call = QUICK.get(tuple(path))
    if (not rest and call is None and command["commands"]) or (len(rest) == 1 and rest[0] in HELP):
        return _print_help(command)
    values = parsed(command["parameters"], rest) if call is not None else None
    if call is None or values is None:
        return False
    call(kept, **values)
    return True


def _print_help(command: dict[str, Any]) -> bool:
    """Help as the parser prints it on a terminal of the usual width, or in a pipe."""
    usual = (
        command["help"] is not None
        and shutil.get_terminal_size().columns >= WIDTH
        and "TERMINAL_WIDTH" not in os.environ
    )
    if usual:
        say(command["help"], lines=True)
    return usual


def parsed(parameters: Sequence[dict[str, Any]], words: Sequence[str]) -> dict[str, Any] | None:
    """The values of a command's parameters, by keyword; None where the parser should say what is wrong."""
    options = {name: each for each in parameters for name in each["names"] if not each["argument"]}
    arguments = [each for each in parameters if each["argument"]]
    values: dict[str, Any] = {
        each["keyword"]: False if each["flag"] else None for each in parameters if each["keyword"] != "help"
    }
    pending = list(words)
    while pending:
        word = pending.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            if not arguments:
                return None
            values[arguments.pop(0)["keyword"]] = word
        elif name not in options or name in HELP or (options[name]["flag"] and equals):
            return None
        elif options[name]["flag"]:
            values[options[name]["keyword"]] = True
        elif equals:
            values[options[name]["keyword"]] = value
        elif pending:
            values[options[name]["keyword"]] = pending.pop(0)
        else:
            return None
    return values if not any(each["required"] for each in arguments) else None
