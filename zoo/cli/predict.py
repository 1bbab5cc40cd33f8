"""``zoo predict``"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.options import takes
from zoo.cli.output import json_alone, note, say, say_json
from zoo.cli.shared_options import KEY, MODEL, MODEL_DEVICE, WEIGHTS, WEIGHTS_KEY, AsJson, Provider, whole_number
from zoo.errors import DataError, UsageError
from zoo.support.paths import check_drawing

if TYPE_CHECKING:
    from zoo.workflows.predict import Predictions
    from zoo.workflows.predict_dataset import Samples
    from zoo.workflows.predict_files import Result


@dataclass(frozen=True)
class PredictOptions:
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|BUNDLE|MODEL",
            help=MODEL,
        ),
    ]
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE|FOLDER...", help="Images, or folders of images; subfolders are included."),
    ] = None
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="D", help="Predict the first samples of a dataset instead of image files."),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="SPLIT",
            help="With --data: split of the dataset, train, val, test (default) or predict (unlabelled images).",
        ),
    ] = None
    count: Annotated[
        str,
        typer.Option("--count", metavar="N", show_default=False, help="With --data: number of samples; default: 10."),
    ] = "10"
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
        Path | None,
        typer.Option(
            "--plot",
            metavar="PNG",
            help="Write an image of the first 50 images with their predictions to this file; masks are drawn over "
            "them.",
        ),
    ] = None
    explain: Annotated[
        Path | None,
        typer.Option(
            "--explain",
            metavar="PNG",
            help="Write an image of the first 50 images with a Grad-CAM heat map of the top-1 class to this file.",
        ),
    ] = None
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="Also write the predictions to this CSV file, with all probabilities or values.",
        ),
    ] = None
    jsonl: Annotated[
        Path | None,
        typer.Option(
            "--jsonl", metavar="FILE", help="Also write the predictions to this file, one JSON object per line."
        ),
    ] = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume an interrupted command: skip the images that FILE.partial (of --csv or --jsonl) already has.",
        ),
    ] = False
    masks: Annotated[
        Path | None,
        typer.Option(
            "--masks", metavar="FOLDER", help="Also write the predicted mask of each image to this folder, as PNG."
        ),
    ] = None
    window: Annotated[
        float | None,
        typer.Option(
            "--window",
            metavar="OVERLAP",
            help="For segmentation models: predict each image at full size, in windows that overlap by this fraction, "
            "such as 0.25. Default: one prediction for the preprocessed image.",
        ),
    ] = None
    top: Annotated[
        str,
        typer.Option(
            "--top",
            metavar="K",
            show_default=False,
            help="Number of classes to print for each image; default: 3. A regression model always prints all its "
            "values.",
        ),
    ] = "3"
    max_pixels: Annotated[
        str | None,
        typer.Option(
            "--max-pixels",
            metavar="N",
            help="Reject images with more than N pixels, before or after resizing. Default: the limit stored with the "
            "model, which is 100 million unless dataset.max_pixels was set for training.",
        ),
    ] = None
    provider: Provider = "cpu"
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", show_default=False, help=MODEL_DEVICE)] = "auto"
    as_json: AsJson = False


@takes(PredictOptions)
def predict(options: PredictOptions) -> None:
    _check(options)
    from zoo.workflows.open_predictor import open_predictor
    from zoo.workflows.predict import DRAWN, require_gradients
    from zoo.workflows.predict_dataset import Samples, samples_of
    from zoo.workflows.predict_files import Wanted, predict_files
    from zoo.workflows.prediction_lines import row_facts

    given = Samples(options.images or [])
    of_dataset = (
        nullcontext(given) if options.data is None else samples_of(options.data, options.split, int(options.count))
    )
    with json_alone(options.as_json), of_dataset as samples:
        predictor = open_predictor(
            options.target, weights=options.weights, weights_key=options.key, provider=options.provider,
            max_pixels=None if options.max_pixels is None else int(options.max_pixels), window=options.window,
            device=options.device,
        )  # fmt: skip
        if options.explain is not None:
            require_gradients(predictor.decision, predictor.network)
        rows: list[dict[str, Any]] = []
        top, named = int(options.top), None if options.data is None else samples

        def shown(batch: Predictions) -> None:
            if options.as_json:
                rows.extend(row_facts(batch, path, values, named, top) for path, values in batch.rows)
            else:
                _say_predictions(batch, samples, top)

        wanted = Wanted(
            options.csv, options.jsonl, options.masks, options.resume, _dataset(options), top,
            keep=DRAWN if options.plot or options.explain else 0,
            progress=options.as_json or not sys.stdout.isatty(),
        )  # fmt: skip
        result = predict_files(predictor, samples, wanted, shown)
        drawn = _draw(result.first, options)
    for line in result.first.notes:
        note(f"note: {line}")
    if options.as_json:
        say_json(_facts(result.first, rows))
    elif result.predicted:
        _say_engine(result, drawn)
    _refuse(result, samples)


def _dataset(options: PredictOptions) -> str | None:
    return None if options.data is None else f"{options.data} {options.split or ''}".strip()


def _check(options: PredictOptions) -> None:
    for option, text in (("--top", options.top), ("--count", options.count), ("--max-pixels", options.max_pixels)):
        if text is not None:
            whole_number(option, text, 3)
    check_drawing(options.plot)
    check_drawing(options.explain)
    if options.csv is not None and options.csv == options.jsonl:
        raise UsageError("--csv and --jsonl name the same file", where=options.csv, fix="name two files")
    if options.resume and options.csv is None and options.jsonl is None:
        raise UsageError("--resume without a table", fix="add --csv FILE or --jsonl FILE")
    if options.resume and options.as_json:
        raise UsageError(
            "--resume and --json: the document would lack the images that are done", fix="use --jsonl FILE for all"
        )
    if bool(options.images) == (options.data is not None):
        raise UsageError(
            "give either images or --data D",
            fix="name image files or folders, or a dataset (see `zoo list datasets`)",
        )


def _draw(first: Predictions, options: PredictOptions) -> list[str]:
    """Make the drawings that were asked for, of the first predictions; returns their names."""
    if not first.rows:
        return []
    if options.plot is not None:
        first.draw(options.plot)
    if options.explain is not None:
        first.explain(options.explain)
    return [str(file) for file in (options.plot, options.explain) if file is not None]


def _say_engine(result: Result, drawn: list[str]) -> None:
    count = len(result.first.rows)
    part = f" (the first {count} of {result.predicted:,} images)" if count < result.predicted else ""
    note(f"predicted by {result.first.engine}" + (f"; saved: {', '.join(drawn)}{part}" if drawn else ""))


def _say_predictions(found: Predictions, samples: Samples, top: int) -> None:
    from zoo.data.targets import describe_target

    for path, values in found.rows:
        told = describe_target(samples.target, samples.truths[path]) if path in samples.truths else ""
        truth = f" (truth: {told})" if told else ""
        say(f"{samples.name(path)}: {found.answer(values, top)}{truth}")


def _facts(found: Predictions, rows: list[dict[str, Any]]) -> dict[str, Any]:
    failures = [{"file": path, "reason": reason} for path, reason in found.failures]
    facts = {"engine": found.engine, "decision": found.decision["kind"], "classes": found.classes}
    return {**facts, "predictions": rows, "failures": failures}


def _refuse(result: Result, samples: Samples) -> None:
    """Raises DataError for images that could not be predicted, once each is named."""
    failures = result.first.failures
    images = result.total
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
