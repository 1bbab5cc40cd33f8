"""``zoo export``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.output import json_alone, note, say, say_json
from zoo.cli.shared_options import AsJson
from zoo.errors import UsageError
from zoo.registry.lookup import registry
from zoo.support.formatting import enumerated


def export(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|RUN",
            help="Run, or recipe or architecture: its newest finished run, otherwise its published weights.",
        ),
    ],
    onnx: Annotated[bool, typer.Option("--onnx", help="Same as --format onnx.")] = False,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="F", help="Export format; `zoo list exporters` lists them.")
    ] = None,
    opset: Annotated[
        str | None, typer.Option("--opset", metavar="N", help="Opset of the ONNX file; default: the exporter's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for the bundle; default: exports/NAME.")
    ] = None,
    batch: Annotated[
        str,
        typer.Option(
            "--batch", metavar="dynamic|N", help="Batch size of the model: dynamic (the default) or a fixed number."
        ),
    ] = "dynamic",
    as_json: AsJson = False,
) -> None:
    chosen = _format(onnx, format_)
    opset_number, fixed = _number("--opset", opset), None if batch == "dynamic" else _number("--batch", batch)
    with json_alone(as_json):
        registry().exporter(chosen)  # a wrong name is said before torch is imported
        from zoo.exporting.export import export as export_

        bundle = export_(name, format=chosen, opset=opset_number, out=out, batch=fixed)
    if as_json:
        say_json(
            {"path": bundle.path, "source": bundle.source, "notes": bundle.notes, "verification": bundle.verification}
        )
        return
    say(bundle.source)
    for line in bundle.notes:
        note(f"note: {line}")
    for line in verdict(bundle.verification):
        say(line)
    say(f"bundle: {bundle.path}")


def verdict(verification: dict[str, Any]) -> list[str]:
    """The main figures of a verify.json, for people."""
    real = verification["real"]
    agreed = f"{real['decisions_agree']:,} of {real['decisions']:,} predictions equal on {real['dataset']}"
    largest = max(verification["random"]["max_abs_error"], real["max_abs_error"])
    sizes = verification["batches"]
    batches = f"batch size{'s' * (len(sizes) > 1)} {enumerated(map(str, sizes))}"
    where = f"on {verification['provider']}, {batches}"
    lines = [f"verified against PyTorch {where}: largest output difference {largest:.1e}, {agreed}"]
    accuracy = real.get("accuracy")
    if accuracy is not None:
        lines.append(f"accuracy {accuracy['exported']:.2%} (PyTorch {accuracy['pytorch']:.2%})")
    for name, error in real.get("mean_absolute_error", {}).items():
        lines.append(f"mean absolute error of {name} {error['exported']:.4g} (PyTorch {error['pytorch']:.4g})")
    return lines


def _format(onnx: bool, named: str | None) -> str:
    if onnx and named not in (None, "onnx"):
        raise UsageError(f"--onnx and --format {named} do not go together", fix="keep one of them")
    if onnx or named is not None:
        return named or "onnx"
    raise UsageError("no format is named", fix="add --onnx, or --format NAME (see `zoo list exporters`)")


def _number(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        word = "dynamic, or " if option == "--batch" else ""
        raise UsageError(
            f"{option}: must be {word}a whole number of at least 1, not '{text}'", fix="see `zoo export --help`"
        )
    return int(text)
