"""``zoo predict``"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.options import takes
from zoo.cli.output import json_alone, note, say, say_json
from zoo.cli.shared_options import KEY, WEIGHTS, WEIGHTS_KEY, AsJson, Provider
from zoo.errors import DataError, UsageError
from zoo.support.paths import check_drawing

if TYPE_CHECKING:
    from zoo.workflows.predict import Predictions
    from zoo.workflows.predict_dataset import Samples


@dataclass(frozen=True)
class PredictOptions:
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|BUNDLE|MODEL",
            help="Run, bundle (a folder that `zoo export` wrote), exported file, or recipe without a run, for its "
            "published weights; with --weights, an architecture or recipe.",
        ),
    ]
    images: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGE|FOLDER...", help="Images, or folders of images.")
    ] = None
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="D", help="Predict the first samples of a dataset in place of images."),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="PART",
            help="Split of the dataset: train, val, test (default) or predict (unlabelled images).",
        ),
    ] = None
    count: Annotated[str, typer.Option("--count", metavar="N", help="Number of samples to predict.")] = "10"
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="W", help=WEIGHTS),
    ] = None
    key: Annotated[
        str | None,
        typer.Option(
            WEIGHTS_KEY,
            metavar="KEY",
            help=KEY,
        ),
    ] = None
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="PNG", help="Draw the images with their predictions.")
    ] = None
    explain: Annotated[
        Path | None, typer.Option("--explain", metavar="PNG", help="Draw a Grad-CAM heat map for each prediction.")
    ] = None
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Also write every probability or value to this file.")
    ] = None
    masks: Annotated[
        Path | None, typer.Option("--masks", metavar="FOLDER", help="Also write the mask of each image as PNG.")
    ] = None
    top: Annotated[
        str, typer.Option("--top", metavar="K", help="Number of classes or values to print for each image.")
    ] = "3"
    max_pixels: Annotated[
        str | None,
        typer.Option(
            "--max-pixels",
            metavar="N",
            help="Reject images with more pixels, before or after resizing; default: the model's limit (100 million).",
        ),
    ] = None
    provider: Provider = "cpu"
    as_json: AsJson = False


@takes(PredictOptions)
def predict(options: PredictOptions) -> None:
    _check(options)
    from zoo.workflows.predict import predict as predicted
    from zoo.workflows.predict_dataset import Samples, samples_of

    given = Samples(options.images or [])
    of_dataset = (
        nullcontext(given) if options.data is None else samples_of(options.data, options.split, int(options.count))
    )
    with json_alone(options.as_json), of_dataset as samples:
        limit = None if options.max_pixels is None else int(options.max_pixels)
        found = predicted(
            options.target, samples.files, weights=options.weights, weights_key=options.key, keep_going=True,
            max_pixels=limit, provider=options.provider
        )  # fmt: skip
        drawn = _write(found, options, samples)
    for line in found.notes:
        note(f"note: {line}")
    if options.as_json:
        say_json(_facts(found, samples if options.data is not None else None, int(options.top)))
    else:
        _say_predictions(found, samples, int(options.top))
        if found.rows:
            note(f"predicted by {found.engine}" + (f"; drawn: {', '.join(drawn)}" if drawn else ""))
    _refuse(found, samples)


def _check(options: PredictOptions) -> None:
    for option, text in (("--top", options.top), ("--count", options.count), ("--max-pixels", options.max_pixels)):
        if text is not None and (not text.isdecimal() or int(text) < 1):
            raise UsageError(
                f"{option}: must be a whole number of at least 1, not '{text}'", fix=f"for example {option} 3"
            )
    check_drawing(options.plot)
    check_drawing(options.explain)
    if bool(options.images) == (options.data is not None):
        raise UsageError(
            "give either images or --data D",
            fix="name image files or folders, or a dataset (see `zoo list datasets`)",
        )


def _write(found: Predictions, options: PredictOptions, samples: Samples) -> list[str]:
    """The table and the drawings that were asked for; returns the names of the drawings."""
    from zoo.workflows.predict_dataset import write_predictions

    if options.csv is not None:
        found.write_csv(options.csv) if options.data is None else write_predictions(options.csv, found, samples)
    if options.masks is not None:
        found.write_masks(options.masks)
    if not found.rows:
        return []
    if options.plot is not None:
        found.draw(options.plot)
    if options.explain is not None:
        found.explain(options.explain)
    return [str(file) for file in (options.plot, options.explain) if file is not None]


def _say_predictions(found: Predictions, samples: Samples, top: int) -> None:
    from zoo.data.targets import describe_target

    for path, values in found.rows:
        told = describe_target(samples.target, samples.truths[path]) if path in samples.truths else ""
        truth = f" (truth: {told})" if told else ""
        say(f"{samples.name(path)}: {found.answer(values, top)}{truth}")


def _facts(found: Predictions, samples: Samples | None, top: int) -> dict[str, Any]:
    """``samples`` are those of a dataset; a file that was a copy is not named."""
    from zoo.data.targets import truth_facts

    rows = []
    for path, values in found.rows:
        row: dict[str, Any] = {"file": path if samples is None or samples.kept else None, **found.facts(values, top)}
        rows.append(
            row
            if samples is None
            else {"sample": samples.name(path), "truth": truth_facts(samples.target, samples.truths.get(path)), **row}
        )
    failures = [{"file": path, "reason": reason} for path, reason in found.failures]
    facts = {"engine": found.engine, "decision": found.decision["kind"], "classes": found.classes}
    return {**facts, "predictions": rows, "failures": failures}


def _refuse(found: Predictions, samples: Samples) -> None:
    """Raises DataError for images that could not be predicted, once each is named."""
    failures, images = found.failures, len(found.failures) + len(found.rows)
    fix = (
        "--max-pixels raises the limit; repair, convert or remove the others"
        if any("max_pixels" in why for _, why in failures)
        else REPAIR
    )
    if images == 1 and failures:
        raise DataError(f"this file {failures[0][1]}", where=samples.name(failures[0][0]), fix=fix)
    for path, reason in failures:
        note(f"not predicted: {samples.name(path)}: {reason}")
    if failures:
        raise DataError(f"{len(failures)} of {images} images were not predicted (named above)", fix=fix)


REPAIR = "repair, convert or remove them"
