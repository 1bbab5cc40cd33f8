"""``zoo evaluate``"""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.output import figure, say, say_json


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run: its folder, its id, or a recipe's name for its newest run.")],
    split: Annotated[str, typer.Option("--split", metavar="PART", help="train, select or report.")] = "report",
    data: Annotated[str | None, typer.Option("--data", metavar="D", help="Another dataset, with as many classes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    from zoo.evaluation import evaluate_run

    metrics, samples, dataset = evaluate_run(run, split, data)
    if as_json:
        say_json({"run": run, "dataset": dataset, "split": split, "samples": samples, "metrics": metrics})
        return
    say(f"{dataset}, {split} part, {samples:,} samples: {', '.join(figure(name, value) for name, value in metrics.items())}")
