"""``zoo weights``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.output import figure, json_alone, note, say, say_json, say_table
from zoo.cli.shared_options import KEY, WEIGHTS_KEY, AsJson, group
from zoo.errors import UsageError

weights = group("List, download and convert pretrained weights.")


@weights.command(name="list", epilog="Example: zoo weights list vgg16")
def list_weights(
    name: Annotated[str, typer.Argument(metavar="ARCHITECTURE", help="Architecture, such as torchvision/resnet18.")],
    as_json: AsJson = False,
) -> None:
    """List the pretrained weights of an architecture."""
    with json_alone(as_json):
        from zoo.models.pretrained_weights import listed
        from zoo.registry.lookup import registry

        item = registry().architecture(name)
        rows = listed(item)
    if as_json:
        say_json(rows)
        return
    if not rows:
        note(f"{item.canonical} names no weights")
        return
    say_table(["name", "here", "trained on", "classes", "input", "reaches", "licence"], [_row(row) for row in rows])


def _row(row: dict[str, Any]) -> list[str]:
    reaches = ", ".join(figure(metric, value) for metric, value in row["metrics"].items())
    classes = f"{row['classes']:,}" if row["classes"] else "none"
    return [
        row["name"],
        "yes" if row["here"] else "no",
        row["dataset"],
        classes,
        "×".join(map(str, row["input"])),
        reaches,
        row["licence"],
    ]


@weights.command(epilog="Example: zoo weights download vgg16 imagenet1k_v1")
def download(
    name: Annotated[str, typer.Argument(metavar="ARCHITECTURE", help="Architecture, such as torchvision/resnet18.")],
    which: Annotated[
        str,
        typer.Argument(
            metavar="WEIGHTS",
            help="Name of the weights, or the start of the name; default: the first in `zoo weights list`.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Download pretrained weights of an architecture, if they are not on this machine."""
    with json_alone(as_json):
        from zoo.registry.lookup import registry
        from zoo.runs.initial_weights import NamedWeights, named, unknown

        item = registry().architecture(name)
        if not item.spec.weights:
            raise UsageError(f"{item.canonical} names no weights", fix="give weights of your own: --weights FILE")
        chosen = named(item, which) if which else next(iter(item.spec.weights))
        if chosen is None:
            raise unknown(item, which)
        file = NamedWeights(item, chosen).file()
    if as_json:
        say_json({"architecture": item.canonical, "weights": chosen, "file": str(file)})
    else:
        say(f"{item.canonical} {chosen}: {file}")


@weights.command(epilog="Example: zoo weights convert model.pth model.safetensors")
def convert(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="Pickled state dict to convert (.pth, .pt, .bin).")],
    to: Annotated[Path, typer.Argument(metavar="OUT", help="Safetensors file to write.")],
    key: Annotated[
        str | None,
        typer.Option(
            WEIGHTS_KEY,
            metavar="KEY",
            help=KEY,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert a pickled state dict to safetensors.

    Only tensors are read: no code in the pickle runs.
    """
    with json_alone(as_json):
        from zoo.models.tensor_files import convert as converted

        if to.suffix != ".safetensors":
            to = to.with_name(f"{to.name}.safetensors")
        if to.exists():
            raise UsageError("this file is there already", where=to, fix="remove it, or give another name")
        tensors, notes = converted(source, to, key)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    if as_json:
        say_json({"file": str(to.absolute()), "tensors": len(tensors), "numbers": numbers, "notes": notes})
    else:
        say(f"{to}: {len(tensors)} tensors of {numbers:,} numbers" + (f"; read {', '.join(notes)}" if notes else ""))
