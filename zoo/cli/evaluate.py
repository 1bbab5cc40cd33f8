"""``zoo evaluate``"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import takes
from zoo.cli.output import figure, json_alone, note, plural, say, say_json
from zoo.cli.shared_options import KEY, MODEL, MODEL_DEVICE, WEIGHTS, WEIGHTS_KEY, AsJson, Provider


@dataclass(frozen=True)
class EvaluateOptions:
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN|BUNDLE|MODEL",
            help=MODEL,
        ),
    ]
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="SPLIT",
            help="Split to evaluate: train, val, test (default), or predict (unlabelled images: only "
            "writes predictions, and needs --out).",
        ),
    ] = None
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="D",
            help=(
                "Dataset to evaluate on, instead of the model's own. It must have the same targets, or a subset of the "
                "model's classes."
            ),
        ),
    ] = None
    weights: Annotated[str | None, typer.Option("--weights", metavar="W", help=WEIGHTS)] = None
    key: Annotated[str | None, typer.Option(WEIGHTS_KEY, metavar="KEY", help=KEY)] = None
    provider: Provider = "cpu"
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", show_default=False, help=MODEL_DEVICE)] = "auto"
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Also write predictions, tables and images to this new folder."),
    ] = None
    as_json: AsJson = False


@takes(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> None:
    from zoo.registry.lookup import registry
    from zoo.workflows.model_argument import find_model

    with json_alone(options.as_json):
        # a wrong name is refused before torch is imported
        found = find_model(options.model, options.weights, options.key)
        if options.data is not None:
            registry().dataset(options.data.partition(":")[0])
        from zoo.workflows.evaluate import evaluate_run

        result = evaluate_run(
            found, options.split, options.data, options.device, options.out, provider=options.provider
        )
    if options.as_json:
        say_json(dataclasses.asdict(result))
        return
    for line in result.notes:
        note(f"note: {line}")
    figures = ", ".join(figure(name, value) for name, value in result.metrics.items()) or "no labels to evaluate by"
    say(f"{result.dataset}, {result.evaluated_on}, {plural(result.samples, 'sample')}: {figures}")
    note(f"evaluated: {result.run}, by {result.engine}")
    if result.path is not None:
        say(f"predictions, tables and images: {result.path}")
