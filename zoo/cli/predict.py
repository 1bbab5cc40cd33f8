"""``zoo predict``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.output import json_alone, note, say, say_json
from zoo.cli.parameters import AsJson
from zoo.errors import UsageError


def predict(
    target: Annotated[
        str, typer.Argument(metavar="RUN|BUNDLE|MODEL", help="A run, an exported bundle, a model.onnx; with --weights an architecture.")
    ],
    pictures: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER...", help="Pictures, or folders of them.")],
    weights: Annotated[str | None, typer.Option("--weights", metavar="W", help="Weights the architecture names, or a safetensors file.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="PNG", help="Draw the pictures under what they are taken for.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write every probability to this file.")] = None,
    top: Annotated[str, typer.Option("--top", metavar="K", help="Classes to show for each picture.")] = "3",
    as_json: AsJson = False,
) -> None:
    if not top.isdecimal() or int(top) < 1:
        raise UsageError(f"--top: must be a whole number of at least 1, not '{top}'", fix="for example --top 3")
    from zoo import runtime
    from zoo.prediction import predict as foretell

    with json_alone(as_json):
        found = foretell(target, pictures, weights=weights)
    if csv is not None:
        found.write_csv(csv)
    if plot is not None:
        found.draw(plot)
    best = [(path, runtime.top(probabilities, found.classes, int(top))) for path, probabilities in found.rows]
    if as_json:
        rows = [{"file": path, "top": [{"class": name, "probability": float(p)} for name, p in pairs]} for path, pairs in best]
        say_json({"engine": found.engine, "classes": found.classes, "predictions": rows})
        return
    for path, pairs in best:
        say(f"{path}: " + ", ".join(f"{name} {p:.1%}" for name, p in pairs))
    note(f"predicted by {found.engine}" + ("" if plot is None else f"; drawn: {plot}"))
