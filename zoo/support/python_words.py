"""Errors in the words of a Python caller: the fix of a message names arguments in place of options of commands.

Messages are written once, for the command line. The public functions (`zoo/__init__.py`) are wrapped by
`python_errors`, which rewrites what a ZooError says on its way to the caller.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Generator
from typing import Any, ParamSpec, TypeVar, cast

from zoo.errors import ConfigError, ZooError

P = ParamSpec("P")
R = TypeVar("R")

ARGUMENTS = {
    "arch": "architecture",
    "config": "config_file",
    "from": "weights",
    "lr": "lr",
    "name": 'set={"name": …}',
    "skip-bad-images": 'set={"dataset.skip_bad_images": True}',
}
"""Arguments that are called otherwise than the option."""
LISTED = "architectures|datasets|exporters|metrics|recipes|tasks"
SUBSTITUTES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"`zoo list ({LISTED})`"), r"zoo.list_\1()"),
    (re.compile(r"`zoo info ([A-Z]+)`"), r"zoo.info(\1)"),
    (re.compile(r"`zoo info ([^` ]+)`"), r'zoo.info("\1")'),
    (re.compile(r"`zoo run --resume ([^` ]+)`"), r'zoo.run(resume="\1")'),
    (re.compile(r"`zoo run ([\w./-]+)`"), r'zoo.run("\1")'),
    (re.compile(r"`zoo matrix`"), r"zoo.matrix()"),
    (re.compile(r"--set ([\w.]+)=(\[[^\]]*\]|[\w.]+)"), r'set={"\1": \2}'),
    (re.compile(r"repeat the command\b"), "repeat the call"),
)
TEXTS = ("weights", "weights-key", "data", "task", "arch", "device", "provider", "split", "format")
"""Options whose values are names: in Python, they are quoted."""
NAME = r"(?!(?:again|and|for|instead|is|of|off|or|out|to|too|with)\b)[\w./@-]*[\w/]"
OPTION = re.compile(
    rf"(?<![\w-])--({'|'.join(TEXTS)})[ =]([A-Z]+\b(?![\w:/])|{NAME})(?=$|[,;:)]|\.(?:\s|$)| or | to | and )"
    r"|(?<![\w-])--([a-z][a-z-]*[a-z])(?:[ =]([A-Z]+\b|\d[\d.]*|none\b|dynamic\b|auto\b))?"
)
COMMAND = re.compile(r"(`[^`]*`|\bzoo [a-z]+ [^;,)\n]*)")
"""Commands keep their options: those between backticks, and those that end a sentence."""
WORDS = {"none": '"none"', "auto": '"auto"', "dynamic": "None"}


def in_python(text: str) -> str:
    """Return a message with arguments in place of options: ``add --data NAME`` becomes ``add data=NAME``.

    Commands that have no function stay, and so do those of other programs.
    """
    for pattern, substitute in SUBSTITUTES:
        text = pattern.sub(substitute, text)
    return "".join(part if index % 2 else OPTION.sub(_argument, part) for index, part in enumerate(COMMAND.split(text)))


def _argument(match: re.Match[str]) -> str:
    named, text, option, value = match.groups()
    if named is not None:
        return f"{ARGUMENTS.get(named, named.replace('-', '_'))}={text if text.isupper() else _quoted(text)}"
    name = ARGUMENTS.get(option, option.replace("-", "_"))
    if name.startswith("set="):
        return name if value is None else f"{name} ({value})"
    return f"{name}={WORDS.get(value or '', value or '')}"


def _quoted(text: str) -> str:
    return f'"{text}"'


def speak_python(error: ZooError) -> None:
    """Rewrite what an error says, in place."""
    where = in_python(error.where) if isinstance(error.where, str) else error.where
    fix = None if error.fix is None else in_python(error.fix)
    details = tuple(in_python(each) for each in error.details)
    if isinstance(error, ConfigError):
        error.problems = [in_python(each) for each in error.problems]
    error.rewrite(in_python(error.what), where, fix, details)


def python_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Make the errors of a function speak Python, also those of a generator that it returns."""

    @functools.wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> R:
        try:
            result = function(*arguments, **keywords)
        except ZooError as error:
            speak_python(error)
            raise
        return cast(R, _speaking(result)) if isinstance(result, Generator) else result

    return call


def _speaking(source: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    try:
        yield from source
    except ZooError as error:
        speak_python(error)
        raise


@functools.cache
def public(value: object) -> object:
    """Return a public object of zoo: a function with its errors in Python, anything else as it is."""
    return python_errors(value) if inspect.isfunction(value) else value
