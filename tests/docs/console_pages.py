"""Runs the fenced blocks of a page and compares what they print with what the page shows.

A ``console`` block holds commands after ``$`` and their output; ``python`` blocks share one namespace, and a ``text``
block after one is what it prints. A line ``…`` stands for any number of lines; a command with no output below it is run
and not compared. Where WRITE_PAGES is set, the page is written anew; there, ``?`` stands for the whole output, and
``? 3 2`` for its first three and last two lines.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from zoo.cli.app import run_cli
from zoo.registry.lookup import registry

TOP = Path(__file__).parents[2]


def writing() -> bool:
    """Whether pages are written anew."""
    return bool(os.environ.get("WRITE_PAGES"))


BLOCK = re.compile(r"^```(console|python|text)\n(.*?)^```$", re.M | re.S)
RUN_ID = re.compile(r"\b\d{4}-\d\d-\d\d-\d{6}-[0-9a-f]{4}\b")
DURATION = re.compile(r"(\d+ h )?(\d+ min( \d+ s)?|\d[\d.]* s)\b")
NUMBER = re.compile(r"\d[\d,.:]*(e[+-]?\d+)?")
MORE = "…"
CTRL_C = "^C"


@dataclass
class Console:
    """Runs commands in one folder as a user would type them; ``zoo`` runs in this process."""

    folder: Path
    patch: pytest.MonkeyPatch
    names: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The pages are of a machine without an accelerator."""
        import torch

        for place, name, value in (
            (torch.cuda, "is_available", False),
            (torch.cuda, "device_count", 0),
            (torch.backends.mps, "is_available", False),
        ):
            stand_in = functools.wraps(getattr(place, name))(lambda value=value: value)
            self.patch.setattr(place, name, stand_in)

    def interrupted(self, command: str) -> tuple[int, str]:
        """The same, with Ctrl-C pressed once a step was logged. The line on which a terminal shows it is put in."""
        steps_logged = len(list(self.folder.glob("runs/*/*/steps.jsonl")))
        ended = threading.Event()

        def press() -> None:
            while len(list(self.folder.glob("runs/*/*/steps.jsonl"))) == steps_logged:
                if ended.wait(0.05):
                    return
            if not ended.wait(0.2):
                os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=press)
        thread.start()
        try:
            code, told = self.run(command)
        finally:
            ended.set()
            thread.join()
        return 0 if code == 130 else 1, told.replace("\nerror:", f"\n{CTRL_C}\nerror:")

    def run(self, command: str) -> tuple[int, str]:
        """The exit code of a line, and what it prints on both streams."""
        self.patch.chdir(self.folder)
        settings, rest = re.fullmatch(r"((?:[A-Z_]+=\S* )*)(.*)", command).groups()  # type: ignore[union-attr]
        if rest.startswith("export "):
            name, _, value = rest.removeprefix("export ").partition("=")
            self.patch.setenv(name, value)
            return 0, ""
        if rest.startswith("python -c "):
            return 0, self.execute(shlex.split(rest)[2])
        if rest.split()[0] != "zoo":
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # `python` is this one
            done = subprocess.run(
                ["bash", "-c", rest], capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
            )
            return done.returncode, done.stdout + done.stderr
        if not settings:
            return self._zoo(_words(rest))
        with pytest.MonkeyPatch.context() as patch:
            for setting in settings.split():
                patch.setenv(*setting.split("=", 1))
            registry.cache_clear()  # a setting may disable plugins
            try:
                return self._zoo(_words(rest))
            finally:
                registry.cache_clear()

    def _zoo(self, words: list[str]) -> tuple[int, str]:
        with _captured() as told:
            code = run_cli(words)
        return code, self._shown(told)

    def execute(self, source: str) -> str:
        """What a Python block prints."""
        self.patch.chdir(self.folder)
        with _captured() as told:
            exec(compile(source, "a block of the page", "exec"), self.names)  # noqa: S102
        return self._shown(told)

    def _shown(self, told: _Text) -> str:
        text = told.getvalue().replace(f"{self.folder}{os.sep}", "")
        data = os.environ.get("ZOO_DATA")
        return text if data is None else text.replace(data, "/home/me/.cache/zoo/data")


class _Text(io.TextIOWrapper):
    def getvalue(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined,no-any-return]


@contextlib.contextmanager
def _captured() -> Iterator[_Text]:
    told = _Text(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        yield told


def _words(line: str) -> list[str]:
    words = []
    for word in shlex.split(line.partition("  #")[0])[1:]:
        found = sorted(map(str, Path().glob(word))) if "*" in word and "/" in word else []
        words += found or [word]
    return words


def steps(block: str) -> list[tuple[str, list[str]]]:
    """Each command of a console block with the lines that the page shows below it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def masked(line: str, *, numbers: bool) -> str:
    """A line without what differs from run to run. Where ``numbers`` is False, those of an error stay."""
    hidden = numbers or not line.startswith(("error:", "  - "))
    line = re.sub(r"\+(cpu|cu\d+)\b", "", DURATION.sub("N s", RUN_ID.sub("RUN", line)))  # of torch's version
    return re.sub(r"[\s─━]+", " ", NUMBER.sub("N", line) if hidden else line).strip()


def agrees(shown: list[str], printed: list[str], *, numbers: bool) -> bool:
    """Whether the page shows what is printed; ``numbers``: whatever its numbers are."""
    lines = [MORE if line.strip() == MORE else re.escape(masked(line, numbers=numbers)) for line in shown]
    pattern = "".join(r"(?:.*\n)*" if line == MORE else f"{line}\n" for line in lines)
    return re.fullmatch(pattern, "".join(f"{masked(line, numbers=numbers)}\n" for line in printed)) is not None


def cut(shown: list[str], printed: list[str]) -> list[str]:
    """What the page is to show of what is printed: as many lines at the head and the tail as it shows now."""
    if shown and shown[0].startswith("?"):
        head, tail = (int(each) for each in shown[0].split()[1:] or ("999", "0"))
    elif MORE in [line.strip() for line in shown]:
        place = [line.strip() for line in shown].index(MORE)
        head, tail = place, len(shown) - place - 1
    else:
        return printed
    return printed if len(printed) <= head + tail else [*printed[:head], MORE, *printed[len(printed) - tail :]]


def run_console(block: str, console: Console, *, numbers: bool, last: int = 0) -> str:
    """Run a console block; the block as it is to be. Asserts that it prints what is shown, and that its last command
    ends with the exit code ``last`` and each other with 0."""
    lines, commands = [], steps(block)
    for number, (command, shown) in enumerate(commands, 1):
        code, told = (console.interrupted if CTRL_C in shown else console.run)(command)
        printed = [line.rstrip() for line in told.splitlines()]
        assert code == (last if number == len(commands) else 0), f"exit code {code}: {command}\n{told}"
        if shown and not writing():
            assert agrees(shown, printed, numbers=numbers), f"{command}\nprints\n{told}\nand the page shows\n{shown}"
        lines += [f"$ {command}", *(cut(shown, printed) if shown else ())]
    return "".join(f"{line}\n" for line in lines)


def run_page(path: Path, console: Console, until: str | None = None) -> None:
    """Run every block of a page in its order, up to the heading ``until``; write the page anew where WRITE_PAGES is
    set."""
    whole, printed = path.read_text(encoding="utf-8"), ""
    text = whole if until is None else whole[: whole.index(until)]

    def block(match: re.Match[str]) -> str:
        nonlocal printed
        kind, body = match.groups()
        if kind == "console":
            body = run_console(body, console, numbers=True)
        elif kind == "python":
            printed = console.execute(body)
        elif not writing():
            assert agrees(body.splitlines(), printed.splitlines(), numbers=True), f"{printed}\nfor\n{body}"
        else:
            body = "".join(f"{line}\n" for line in cut(body.splitlines(), printed.splitlines()))
        return f"```{kind}\n{body}```"

    new = BLOCK.sub(block, text)
    if writing():
        path.write_text(new + whole[len(text) :], encoding="utf-8")
