"""``zoo compare``"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.output import duration, emphasised, json_alone, note, say, say_json, say_table
from zoo.cli.shared_options import AsJson
from zoo.support.formatting import label, value

if TYPE_CHECKING:
    from zoo.reporting.run_comparison import Comparison

NONE = "–"


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Two or more runs: folders, ids, or names of recipes or architectures for their newest runs.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for compare.png; default: the current folder. An existing compare.png is not overwritten: the "
            "new image is called compare-2.png.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    from zoo.reporting.run_comparison import compare as compare_

    with json_alone(as_json):
        found = compare_(runs, out)
    if as_json:
        say_json({**dataclasses.asdict(found), "image": found.image and found.image.absolute()})
        return
    say_table(["", *found.names], list(_rows(found)))
    say()
    if found.differences:
        say(emphasised("they differ in"))
        say_table(
            ["", *found.names],
            [[key, *map(_setting, values)] for key, values in found.differences.items()],
            indent="  ",
        )
    else:
        say("their configurations are the same")
    for remark in found.remarks:
        note(f"note: {remark}")
    if found.image is not None:
        say()
        say(f"curves: {found.image}")


def _rows(found: Comparison) -> list[list[str]]:
    facts = {name: list(values) for name, values in found.facts.items() if name != "run" or values != found.names}
    counted = {"parameters": "{:,}".format, "macs": "{:,}".format, "seconds": duration}
    names = {"macs": "multiply-accumulates", "seconds": "took"}
    told = {
        name: [NONE if each is None else counted.get(name, str)(each) for each in values]
        for name, values in facts.items()
    }
    metrics = {
        label(name): [NONE if each is None else value(name, each) for each in values]
        for name, values in found.metrics.items()
    }
    first = ("run", "status", "architecture", "dataset", "task")
    ordered = (
        {name: told[name] for name in first if name in told}
        | metrics
        | {names.get(name, name): told[name] for name in told if name not in first}
    )
    return [[name, *values] for name, values in ordered.items()]


def _setting(given: Any) -> str:
    """As it would be written in a configuration."""
    if given is None:
        return NONE
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
