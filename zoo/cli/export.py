"""``zoo export``"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.options import takes
from zoo.cli.output import json_alone, note, say, say_json
from zoo.cli.shared_options import KEY, PROVIDERS, WEIGHTS, WEIGHTS_KEY, AsJson, options_of
from zoo.config.item_options import default_exporter
from zoo.errors import UsageError
from zoo.registry.core_commands import format_flag
from zoo.registry.lookup import registry
from zoo.support.formatting import enumerated
from zoo.support.paths import relative


def _formats() -> dict[str, str]:
    """The names of the installed exporters, by the keyword of their flag."""
    names = dict.fromkeys(item.spec.name for item in registry().items("exporter"))
    return {f"as_{re.sub('[^a-z0-9]', '_', name)}": name for name in names if format_flag(name)}


FORMATS = _formats()
DEFAULT = "".join(f"; default: {item.spec.name}" for item in registry().items("exporter") if item.spec.default)


@dataclass(frozen=True)
class _Named:
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|RUN",
            help="What to export: a run, or the name of a recipe or architecture. A name exports its newest finished "
            "run; if there is none, the name of a recipe exports its pretrained weights. With --weights, a name "
            "selects only the network, which gets those weights.",
        ),
    ]


_Flags: Any = dataclasses.make_dataclass(
    "_Flags",
    [
        (keyword, Annotated[bool, typer.Option(format_flag(name), help=f"Same as --format {name}.")], False)
        for keyword, name in FORMATS.items()
    ],
    bases=(_Named,),
    frozen=True,
)


@dataclass(frozen=True)
class ExportOptions(_Flags):  # type: ignore[misc]  # a flag for each installed format
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="F", help=f"Export format: a name listed by `zoo list exporters`{DEFAULT}."),
    ] = None
    weights: Annotated[str | None, typer.Option("--weights", metavar="W", help=WEIGHTS)] = None
    key: Annotated[str | None, typer.Option(WEIGHTS_KEY, metavar="KEY", help=KEY)] = None
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="D",
            help="Dataset to verify the export on; default: that of the model. If its files are not on this machine, "
            "the samples in the folder of the run or a similar dataset are used, and zoo prints a note.",
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for the bundle; default: exports/NAME, with the name of the recipe or architecture.",
        ),
    ] = None
    batch: Annotated[
        str,
        typer.Option(
            "--batch",
            metavar="dynamic|N",
            show_default=False,
            help="Batch size of the exported model: dynamic (default), which takes any batch size, or a fixed number.",
        ),
    ] = "dynamic"
    provider: Annotated[
        str,
        typer.Option(
            "--provider",
            metavar="P",
            show_default=False,
            help=f"Execution provider for the verification: {PROVIDERS}",
        ),
    ] = "cpu"
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="export.KEY=VALUE",
            help="Set an option of the format; `zoo info FORMAT` lists the options. May be repeated.",
        ),
    ] = None
    sign: Annotated[
        Path | None,
        typer.Option("--sign", metavar="KEY", help="Sign the bundle with this private key (PEM)."),
    ] = None
    as_json: AsJson = False


@takes(ExportOptions)
def export(options: ExportOptions) -> None:
    fixed = None if options.batch == "dynamic" else _number("--batch", options.batch)
    with json_alone(options.as_json):
        chosen = _format(options)  # a wrong name is reported before torch is imported
        from zoo.exporting.export import export as export_

        bundle = export_(
            options.name,
            format=chosen,
            options=options_of(options.assignments, "export"),
            out=options.out,
            batch=fixed,
            provider=options.provider,
            sign=options.sign,
            weights=options.weights,
            weights_key=options.key,
            dataset=options.data,
        )
    if options.as_json:
        say_json(
            {"path": bundle.path, "source": bundle.source, "notes": bundle.notes, "verification": bundle.verification}
        )
        return
    say(bundle.source)
    for line in bundle.notes:
        note(f"note: {line}")
    for line in verdict(bundle.verification):
        say(line)
    say(f"bundle: {relative(bundle.path)}")


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


def _format(options: ExportOptions) -> str:
    flags = [name for keyword, name in FORMATS.items() if getattr(options, keyword)]
    named: dict[str, None] = dict.fromkeys([*flags, *([] if options.format_ is None else [options.format_])])
    if len(named) > 1:
        spoken = [str(format_flag(name)) for name in flags]
        spoken += [] if options.format_ is None else [f"--format {options.format_}"]
        raise UsageError(f"{' and '.join(spoken)} do not go together", fix="keep one of them")
    return default_exporter(registry(), next(iter(named), None)).canonical


def _number(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        word = "dynamic, or " if option == "--batch" else ""
        raise UsageError(
            f"{option}: must be {word}a whole number of at least 1, not '{text}'", fix="see `zoo export --help`"
        )
    return int(text)
