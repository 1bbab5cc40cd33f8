"""``zoo verify``"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from zoo.cli.output import json_alone, say, say_json, say_table
from zoo.cli.shared_options import AsJson
from zoo.errors import CheckpointError


def verify(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Run: its folder, its id, or a recipe's name for its newest run.")
    ],
    as_json: AsJson = False,
) -> None:
    """Check every file of a run against its root record; say what is damaged and what can still be done.

    Exits 4 where something is damaged. Writes nothing.
    """
    from zoo.workflows.verify import verify as verify_

    with json_alone(as_json):
        found = verify_(run)
    if as_json:
        say_json({**dataclasses.asdict(found), "path": found.path.absolute(), "damaged": found.damaged})
    else:
        say_table(["part", "state", ""], [[each.part, each.state, each.detail] for each in found.findings])
        say()
        say(f"{found.run}: {'damaged' if found.damaged else 'nothing is damaged'}; {found.advice}")
    if found.damaged:
        raise typer.Exit(CheckpointError.exit_code)
