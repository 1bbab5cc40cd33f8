"""``zoo predict``"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.output import json_alone, note, say, say_json
from zoo.cli.parameters import WEIGHTS_KEY, AsJson
from zoo.errors import DataError, UsageError
from zoo.paths import check_drawing

if TYPE_CHECKING:
    from zoo.prediction import Predictions


def predict(
    target: Annotated[
        str, typer.Argument(metavar="RUN|BUNDLE|MODEL", help="A run, an exported bundle, a model.onnx; with --weights an architecture.")
    ],
    pictures: Annotated[list[Path] | None, typer.Argument(metavar="IMAGE|FOLDER...", help="Pictures, or folders of them.")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="D", help="In place of pictures: the first of a dataset.")] = None,
    split: Annotated[str | None, typer.Option("--split", metavar="PART", help="Its part: train, select, report (default) or predict.")] = None,
    count: Annotated[str, typer.Option("--count", metavar="N", help="So many of them.")] = "10",
    weights: Annotated[str | None, typer.Option("--weights", metavar="W", help="Weights the architecture names, or a safetensors file.")] = None,
    key: Annotated[
        str | None, typer.Option(WEIGHTS_KEY, metavar="KEY", help="The network to take where that file holds several, such as ema.")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="PNG", help="Draw the pictures under what they are taken for.")] = None,
    explain: Annotated[Path | None, typer.Option("--explain", metavar="PNG", help="Draw what speaks for each prediction (Grad-CAM).")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write every probability to this file.")] = None,
    top: Annotated[str, typer.Option("--top", metavar="K", help="Classes to show for each picture.")] = "3",
    max_pixels: Annotated[
        str | None,
        typer.Option("--max-pixels", metavar="N", help="Most pixels of an image, as it is and scaled; default: the model's (100 million)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    for option, text in (("--top", top), ("--count", count), *([("--max-pixels", max_pixels)] if max_pixels is not None else [])):
        if not text.isdecimal() or int(text) < 1:
            raise UsageError(f"{option}: must be a whole number of at least 1, not '{text}'", fix=f"for example {option} 3")
    check_drawing(plot)
    check_drawing(explain)
    if bool(pictures) == (data is not None):
        raise UsageError("give either pictures or --data D", fix="name picture files or folders, or a dataset (see `zoo list datasets`)")
    from zoo import runtime
    from zoo.prediction import pictures_of
    from zoo.prediction import predict as foretell

    with json_alone(as_json), pictures_of(data, split, int(count)) if data is not None else nullcontext(pictures) as files:
        limit = None if max_pixels is None else int(max_pixels)
        found = foretell(target, files or [], weights=weights, weights_key=key, keep_going=True, max_pixels=limit)
        if csv is not None:
            found.write_csv(csv)
        if plot is not None and found.rows:
            found.draw(plot)
        if explain is not None and found.rows:
            found.explain(explain)
    for line in found.notes:
        note(f"note: {line}")
    best = [(path, runtime.top(probabilities, found.classes, int(top))) for path, probabilities in found.rows]
    if as_json:
        rows = [{"file": path, "top": [{"class": name, "probability": float(p)} for name, p in pairs]} for path, pairs in best]
        failures = [{"file": path, "reason": reason} for path, reason in found.failures]
        say_json({"engine": found.engine, "classes": found.classes, "predictions": rows, "failures": failures})
    else:
        for path, pairs in best:
            say(f"{path}: " + ", ".join(f"{name} {p:.1%}" for name, p in pairs))
        drawn = [str(file) for file in (plot, explain) if file is not None and found.rows]
        if found.rows:
            note(f"predicted by {found.engine}" + (f"; drawn: {', '.join(drawn)}" if drawn else ""))
    _refuse(found)


def _refuse(found: Predictions) -> None:
    """Raises DataError for images that could not be predicted, once each is named."""
    failures, images = found.failures, len(found.failures) + len(found.rows)
    fix = "--max-pixels raises the limit; repair, convert or remove the others" if any("max_pixels" in why for _, why in failures) else REPAIR
    if images == 1 and failures:
        raise DataError(f"this image {failures[0][1]}", where=failures[0][0], fix=fix)
    for path, reason in failures:
        note(f"not predicted: {path}: {reason}")
    if failures:
        raise DataError(f"{len(failures)} of {images} images were not predicted (named above)", fix=fix)


REPAIR = "repair, convert or remove them"
