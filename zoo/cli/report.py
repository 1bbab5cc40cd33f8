"""``zoo report``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.output import json_alone, note, say, say_json
from zoo.cli.shared_options import AsJson


def report(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="Run: its folder, its id, or the name of a recipe or architecture for its newest run."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="File to write; default: report.html in the run's folder."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    from zoo.reporting.html_page import report as write
    from zoo.runs.plugin_check import notes_of
    from zoo.runs.run_directory import find

    with json_alone(as_json):
        file = write(run, out)
        notes = notes_of(find(run).record)
    for line in notes:
        note(f"note: {line}")
    if as_json:
        say_json({"run": run, "page": file.absolute()})
        return
    say(f"report: {file}")
