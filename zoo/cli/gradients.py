"""``zoo gradients``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.config_options import Assignments, BatchSize, DataName, Device, Seed, TaskName
from zoo.cli.options import overrides_of, takes
from zoo.cli.output import json_alone, note, say, say_json, say_table
from zoo.cli.shared_options import AsJson
from zoo.support.paths import check_drawing


@dataclass(frozen=True)
class GradientsOptions:
    name: Annotated[str, typer.Argument(metavar="NAME", help="Recipe, or architecture (with --data).")]
    versus: Annotated[
        list[str] | None,
        typer.Option(
            "--versus",
            metavar="KEY.PATH=VALUE",
            help="Also measure the network with this key changed, and compare. May be repeated; each repetition adds a "
            "variant.",
        ),
    ] = None
    data: DataName = None
    task: TaskName = None
    batch_size: BatchSize = None
    seed: Seed = None
    device: Device = None
    assignments: Assignments = None
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="PNG", help="Plot the gradient norms against depth.")
    ] = None
    as_json: AsJson = False


@takes(GradientsOptions)
def gradients(options: GradientsOptions) -> None:
    check_drawing(options.plot)
    given = overrides_of(options, options.assignments)
    with json_alone(options.as_json):
        found = _look(options.name, given, options.versus or [], options.plot)
    if options.as_json:
        from zoo.analysis.gradients import summary

        say_json(summary(found))
        return
    columns = ["network", "layers", "first", "last", "least", "most", "first / last"]
    rows = []
    for each in found:
        figures = (each.norms[0], each.norms[-1], min(each.norms), max(each.norms), each.ratio)
        rows.append([each.label, str(len(each.norms)), *(f"{value:.3g}" for value in figures)])
    say_table(columns, rows)
    if options.plot is not None:
        say(f"saved: {options.plot}")


def _look(name: str, given: dict[str, Any], versus: list[str], plot: Path | None) -> list[Any]:
    from zoo.runs.resolve_config import parse_assignment
    from zoo.workflows.gradients import compared

    return compared(name, given, [(text.strip(), parse_assignment(text)) for text in versus], plot, note)
