"""``zoo evaluate``"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.output import figure, json_alone, note, plural, say, say_json
from zoo.cli.shared_options import AsJson


def evaluate(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="Run: its folder, its id, or the name of a recipe or architecture for its newest run."
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="SPLIT",
            help="Split to evaluate: train, val, test (default), or predict (unlabelled images; needs --out).",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="D",
            help=(
                "Dataset to evaluate on, instead of the run's own. It must have the same targets, or a subset of the "
                "run's classes."
            ),
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Also write predictions, tables and images to this new folder."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    from zoo.registry.lookup import registry
    from zoo.runs.run_directory import find

    with json_alone(as_json):
        where = find(run)  # a wrong name is refused before torch is imported
        if data is not None:
            registry().dataset(data.partition(":")[0])
        from zoo.workflows.evaluate import evaluate_run

        result = evaluate_run(where, split, data, device, out)
    if as_json:
        say_json(dataclasses.asdict(result))
        return
    for line in result.notes:
        note(f"note: {line}")
    figures = ", ".join(figure(name, value) for name, value in result.metrics.items()) or "no labels to evaluate by"
    say(f"{result.dataset}, {result.evaluated_on}, {plural(result.samples, 'sample')}: {figures}")
    if result.path is not None:
        say(f"predictions, tables and images: {result.path}")
