"""``zoo index``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.output import json_alone, note, plural, say, say_json
from zoo.cli.shared_options import KEY, WEIGHTS, WEIGHTS_KEY, AsJson, BundleProvider
from zoo.errors import DataError, UsageError

if TYPE_CHECKING:
    from zoo.workflows.image_index import Indexed, Match

IndexFile = Annotated[
    Path,
    typer.Option(
        "--index",
        metavar="FILE",
        show_default=False,
        help="Index file; default: index.safetensors in the current folder.",
    ),
]
DEFAULT = Path("index.safetensors")


def index(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of images; its subfolders are included.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="RUN|BUNDLE|ARCH",
            help="Model that computes the vectors: a run, the bundle of an embedding network, or an architecture (with "
            "--weights). Required for a new index; default: the model of the existing index.",
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option("--weights", metavar="W", help=WEIGHTS)] = None,
    key: Annotated[str | None, typer.Option(WEIGHTS_KEY, metavar="KEY", help=KEY)] = None,
    file: IndexFile = DEFAULT,
    duplicates: Annotated[
        str | None,
        typer.Option(
            "--duplicates",
            metavar="S",
            help="Also list groups of images whose cosine similarity is at least S, such as 0.97.",
        ),
    ] = None,
    provider: BundleProvider = "cpu",
    as_json: AsJson = False,
) -> None:
    threshold = None if duplicates is None else _threshold(duplicates)
    with json_alone(as_json):
        from zoo.workflows.image_index import index_folder, near_duplicates

        found = index_folder(folder, model=model, weights=weights, weights_key=key, index=file, provider=provider)
        groups = None if threshold is None else near_duplicates(found.index, threshold)
    for line in found.notes:
        note(f"note: {line}")
    if as_json:
        say_json(_facts(found, groups))
    else:
        _say(found, groups)
    for path, reason in found.failures:
        note(f"not indexed: {path}: {reason}")
    if found.failures:
        raise DataError(
            f"{plural(len(found.failures), 'image')} could not be read (named above)",
            fix="repair, convert or remove them",
        )


def _threshold(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(
            f"--duplicates: must be a cosine similarity, not '{text}'", fix="for example --duplicates 0.97"
        ) from None


def _say(found: Indexed, groups: list[list[Match]] | None) -> None:
    dimensions = found.index.vectors.shape[1]
    removed = f", {found.removed:,} removed" if found.removed else ""
    say(
        f"{found.file}: {plural(len(found.index.names), 'image')}, vectors of {dimensions:,} values by "
        f"{found.index.model.text}; {found.computed:,} computed, {found.reused:,} unchanged{removed}"
    )
    for group in groups or []:
        say("near-duplicates: " + ", ".join(f"{each.path} ({each.similarity:.3f})" for each in group))
    if groups == []:
        say("no near-duplicates")


def _facts(found: Indexed, groups: list[list[Match]] | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "index": found.file.absolute(),
        "folder": found.index.folder,
        "model": vars(found.index.model),
        "images": len(found.index.names),
        "dimensions": found.index.vectors.shape[1],
        "computed": found.computed,
        "unchanged": found.reused,
        "removed": found.removed,
        "failures": [{"file": path, "reason": reason} for path, reason in found.failures],
    }
    return facts if groups is None else {**facts, "duplicates": [list(map(vars, group)) for group in groups]}
