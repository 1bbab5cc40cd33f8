"""``zoo lr-range``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.config_options import Assignments, BatchSize, DataName, Device, Seed, TaskName
from zoo.cli.options import overrides_of, takes
from zoo.cli.output import json_alone, note, say, say_json, say_table
from zoo.cli.shared_options import AsJson
from zoo.support.paths import check_drawing
from zoo.workflows.lr_range import HIGHEST, LOWEST, STEPS

ROWS = 12


@dataclass(frozen=True)
class LrRangeOptions:
    name: Annotated[str, typer.Argument(metavar="NAME", help="Recipe, or architecture (with --data).")]
    data: DataName = None
    task: TaskName = None
    batch_size: BatchSize = None
    lowest: Annotated[float, typer.Option("--from", metavar="LR", help="First learning rate.")] = LOWEST
    highest: Annotated[float, typer.Option("--to", metavar="LR", help="Last learning rate.")] = HIGHEST
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Number of training steps.")] = STEPS
    seed: Seed = None
    device: Device = None
    assignments: Assignments = None
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="PNG", help="Plot the loss against the learning rate.")
    ] = None
    as_json: AsJson = False


@takes(LrRangeOptions)
def lr_range(options: LrRangeOptions) -> None:
    from zoo.workflows.lr_range import tested

    check_drawing(options.plot)
    given = overrides_of(options, options.assignments)
    with json_alone(options.as_json):
        result = tested(options.name, given, options.lowest, options.highest, options.steps, options.plot)
        for each in result.notes:
            note(f"note: {each}")
    if options.as_json:
        from zoo.analysis.lr_range import summary

        say_json(summary(result))
        return
    every = max(1, len(result.lr) // ROWS)
    rows = [
        [f"{rate:.2g}", f"{loss:.4g}", f"{mean:.4g}"]
        for rate, loss, mean in list(zip(result.lr, result.loss, result.smoothed, strict=True))[::every]
    ]
    say_table(["learning rate", "loss", "smoothed"], rows)
    if result.diverged:
        say(f"stopped at a learning rate of {result.lr[-1]:.2g}: the loss grew")
    say(f"the loss falls fastest at {result.suggestion:.2g} and is least at {result.minimum:.2g}")
    say(f"try: zoo run {options.name} --lr {result.suggestion:.2g}")
    if options.plot is not None:
        say(f"saved: {options.plot}")
