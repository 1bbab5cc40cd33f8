"""``zoo data``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.output import emphasised, json_alone, note, plural, say, say_json, say_table, say_wrapped
from zoo.cli.shared_options import AsJson, group
from zoo.errors import DataError

if TYPE_CHECKING:
    from zoo.workflows.data_check import Report
    from zoo.workflows.data_download import Needs

FEW_CLASSES = 40
"""Classes up to which the table by class is shown; ``--json`` has it always."""

NAMES = "Names of datasets, such as mnist (see `zoo list datasets`)."

data = group("Download, locate and check the files of datasets.")


@data.command(epilog="Example: zoo data download mnist")
def download(
    names: Annotated[list[str], typer.Argument(metavar="DATASET...", help=NAMES)],
    as_json: AsJson = False,
) -> None:
    """Download the missing files of datasets."""
    with json_alone(as_json):
        from zoo.workflows import data_download

        found = data_download.download(names)
    if as_json:
        say_json([_as_dict(need) for need in found])
        return
    for need in found:
        say(f"{need.name}: {need.state}")


@data.command(epilog="Example: zoo data path mnist")
def path(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET", help="Dataset whose files to locate; without it, the data folder is printed."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the path of the data folder, or the paths of a dataset's files."""
    from zoo.support.paths import data_root

    if name is None:
        say_json({"path": str(data_root())}) if as_json else say(str(data_root()))
        return
    with json_alone(as_json):
        from zoo.workflows import data_download

        need = data_download.look(name)
    if as_json:
        say_json(_as_dict(need))
        return
    if need.argument is not None:
        say(need.argument)
        return
    if not need.files():
        note(f"{need.name}: {need.state}")
        return
    rows = [[data_download.presence(file), f"{file['size']:,}", file["place"]] for file in need.files()]
    rows += [["yes", f"{archive.stat().st_size:,}", str(archive)] for archive in need.instead]
    say_table(["here", "bytes", "place"], rows)
    note(need.state)


@data.command(epilog="Example: zoo data check digits")
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATASET...", help="Names of datasets, or folder:PATH; default: every dataset on this machine."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decode the images of datasets, count them, and report unreadable images, altered files and duplicate images.

    Files are compared with the published ones by their sha256. Images with the same pixels are duplicates.
    """
    from zoo.workflows.data_check import check as examine

    reports = []
    for need in _chosen(names, as_json):
        with json_alone(as_json):
            reports.append(examine(need))
        if not as_json:
            _say_report(reports[-1])
    if as_json:
        say_json([report.as_dict() for report in reports])
    if any(report.problems for report in reports):
        raise typer.Exit(DataError.exit_code)


def _chosen(names: list[str] | None, as_json: bool) -> list[Needs]:
    """The datasets that were named, all of them here; else those that are."""
    with json_alone(as_json):
        from zoo.registry.lookup import registry
        from zoo.workflows import data_download

        own = [item.canonical for item in registry().items("dataset") if item.spec.path_option is None]
        asked = list(dict.fromkeys(names or own))
        needs = [data_download.look(name) for name in asked]
    if names:
        data_download.require_here(needs)
    for need in needs:
        if need.missing:
            note(f"{need.item.canonical}: not here; `zoo data download {need.name}` downloads it")
    return [need for need in needs if not need.missing]


def _as_dict(need: Needs) -> dict[str, Any]:
    return {
        "dataset": need.item.canonical,
        "argument": need.argument,
        "here": not need.missing,
        "files": need.files(),
        "instead": need.instead,
    }


def _say_report(report: Report) -> None:
    say(emphasised(report.dataset))
    _say_files(report.files)
    if report.parts:
        _say_splits(report)
    for line in report.notes:
        say_wrapped("  note: ", line)
    for problem in report.problems:
        say_wrapped("  problem: ", problem)
    say()


def _say_files(files: list[dict[str, Any]]) -> None:
    words = {True: "official", False: "other content"}
    rows = [[file["path"], words[file["official"]] if file["present"] else "in another form"] for file in files]
    if rows:
        say_table(["file", "content"], rows, indent="  ")


def _say_splits(report: Report) -> None:
    rows = [[part.part, part.split, f"{part.samples:,}", ", ".join(_shapes(part.shapes))] for part in report.parts]
    say_table(["split", "name in dataset", "images", "C×H×W"], rows, indent="  ")
    labelled = [part for part in report.parts if part.classes is not None]
    classes = list(labelled[0].classes or ()) if labelled else []
    if 0 < len(classes) <= FEW_CLASSES:
        counts = [
            [str(index), name, *(f"{(part.classes or {})[name]:,}" for part in labelled)]
            for index, name in enumerate(classes)
        ]
        say_table(["index", "class", *(part.part for part in labelled)], counts, indent="  ")
    elif classes:
        say(f"  {len(classes):,} classes; --json prints the number of images of each")
    for part in report.parts:
        say_wrapped("  ", f"first images of {part.part}: {', '.join(part.first)}")
    for line in _duplicates(report):
        say_wrapped("  ", line)


def _shapes(shapes: dict[str, int]) -> list[str]:
    """The commonest sizes."""
    shown = [f"{shape} ({count:,})" if len(shapes) > 1 else shape for shape, count in list(shapes.items())[:3]]
    return [*shown, f"{len(shapes) - 3:,} other sizes"] if len(shapes) > 3 else shown


def _duplicates(report: Report) -> list[str]:
    found = report.duplicates
    lines = [
        f"{plural(count, 'image')} of {part} stand{'s' * (count == 1)} there again"
        for part, count in found.within.items()
    ]
    lines += [
        f"{plural(count, 'image')} in both {' and '.join(pair.split(', '))}" for pair, count in found.across.items()
    ]
    lines += (
        [f"{plural(found.contradicting, 'image')} of the same content under different labels"]
        if found.contradicting
        else []
    )
    lines += [f"for example {first} = {second}" for first, second in found.examples]
    return lines or ["no duplicate images"]
