"""``zoo verify``"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.output import json_alone, say, say_json, say_table
from zoo.cli.shared_options import AsJson, Provider
from zoo.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from zoo.workflows.verify_exported import ExportedVerification


def verify(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|BUNDLE|FILE",
            help="Run (folder, id, or the name of a recipe or architecture), bundle, or exported file from any source.",
        ),
    ],
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="RUN|NAME",
            help="PyTorch model to compare a bundle or file with; default: the one it was exported from.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="D",
            help="Dataset to compare the models on; default: that of the model, or a similar one if its files are not "
            "on this machine.",
        ),
    ] = None,
    provider: Provider = "cpu",
    trust: Annotated[
        Path | None,
        typer.Option(
            "--trust",
            metavar="KEY",
            help="Public key (PEM) to check the bundle's signature with; the command fails if the signature is missing "
            "or does not match.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every file of a run or bundle against its recorded digest. For a bundle or file, also repeat the
    verification of the export: the outputs and predictions must equal those of the PyTorch model.

    Exits with code 4 if a file is damaged, and with code 5 if the outputs differ from PyTorch's. Writes nothing. Runs
    the predict.py of a bundle only if it is identical to the one that the installed exporter writes.
    """
    from zoo.workflows.verify_exported import is_exported, verify_exported

    if is_exported(Path(target)):
        with json_alone(as_json):
            found = verify_exported(Path(target), provider=provider, against=against, data=data, trust=trust)
        _say_exported(found, as_json)
        return
    given = {"--against": against, "--data": data, "--trust": trust, "--provider": None if provider == "cpu" else 1}
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{option} is for bundles and exported files", where=target, fix=f"remove {option}")
    _verify_run(target, as_json)


def _verify_run(run: str, as_json: bool) -> None:
    from zoo.workflows.verify import verify as verify_

    with json_alone(as_json):
        found = verify_(run)
    if as_json:
        say_json({**dataclasses.asdict(found), "path": found.path.absolute(), "damaged": found.damaged})
    else:
        say_table(["check", "result", ""], [[each.part, each.state, each.detail] for each in found.findings])
        say()
        say(f"{found.run}: {'damaged' if found.damaged else 'nothing is damaged'}; {found.advice}")
    if found.damaged:
        raise typer.Exit(CheckpointError.exit_code)


INTACT = "nothing is damaged, but the outputs were not compared; name the PyTorch model with --against"
VERDICTS = {0: "verified", 4: "damaged: do not use it", 5: "it differs from the PyTorch model: do not use it"}


def _say_exported(found: ExportedVerification, as_json: bool) -> None:
    if as_json:
        say_json(
            {
                "path": found.path.absolute(),
                "findings": [each._asdict() for each in found.findings],
                "against": found.against,
                "verified": found.code == 0 and bool(found.against),
            }
        )
    else:
        say_table(["check", "result", ""], [list(each) for each in found.findings])
        say()
        verdict = VERDICTS[found.code] if found.code or found.against else INTACT
        say(f"{found.path}: {verdict}" + (f"; compared with {found.against}" if found.against else ""))
    if found.code:
        raise typer.Exit(found.code)
