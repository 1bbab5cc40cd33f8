"""``zoo inspect``"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.output import json_alone, note, say, say_facts, say_json, say_table
from zoo.cli.shared_options import AsJson
from zoo.errors import DataError
from zoo.support.formatting import size

if TYPE_CHECKING:
    from zoo.inspection.findings import Found


def inspect(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="Run, bundle, checkpoint, weights file, exported model, pickle, archive or configuration.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Describe a file or folder of unknown origin, without executing its code or writing files.

    Prints its kind and content, whether the recorded digests match, which plugins it needs, and what zoo would refuse
    to load and why. Exits with code 3 if zoo does not recognize the format.
    """
    from zoo.inspection.inspect import inspect as look

    with json_alone(as_json):
        try:
            found = look(path)
        except FileNotFoundError as error:
            raise DataError("there is no such file or folder", where=path, fix="check the path") from error
        except OSError as error:
            raise DataError(
                f"it cannot be read: it {error}", where=path, fix="give a regular file, or a folder"
            ) from error
        if found is None:
            raise DataError(
                "this is nothing that zoo knows", where=path, fix="`zoo inspect --help` lists what it describes"
            )
    if as_json:
        say_json(asdict(found))
    else:
        _say(found)


def _say(found: Found) -> None:
    say(f"{found.path}: {found.kind}" + (f", {size(found.size)}" if found.size is not None else ""))
    say_facts({name: _line(value) for name, value in found.facts.items()}, indent="  ")
    for title, lines in (
        ("needs", found.needs),
        ("digests", [f"{name}: {state}" for name, state in found.digests.items()]),
    ):
        if lines:
            say(f"{title}:")
            for line in lines:
                say(f"  {line}")
    if found.contains:
        say("contains:")
        say_table(["name", "what"], [list(entry) for entry in found.contains], indent="  ")
        if found.more:
            say(f"  and {found.more:,} more")
    for line in found.refused:
        say(f"refused: {line}")
    note("nothing was executed, loaded or written")


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
