"""``zoo matrix``"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.item_names import exact_or_wildcard
from zoo.cli.output import emphasised, json_alone, note, say, say_json, say_table, say_wrapped
from zoo.cli.shared_options import AsJson, options_of

if TYPE_CHECKING:
    from zoo.workflows.matrix import Cell


def matrix(
    arch: Annotated[
        str | None,
        typer.Option("--arch", metavar="P", help="Pattern for names of architectures, such as 'timm/*vit*'."),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="P", help="Pattern for names of datasets.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="P", help="Pattern for names of tasks.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY.PATH=VALUE", help="Set a key of the dataset, such as dataset.resize=never."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    from zoo.registry.lookup import registry
    from zoo.workflows.matrix import cells

    catalogue, options = registry(), options_of(assignments, "dataset")
    data, _, path = (data or "").partition(":")
    if path:
        note(f"note: the table shows what the dataset declares; the files in {path} are not read")
    with json_alone(as_json):
        found = list(
            cells(
                catalogue,
                None if arch is None else exact_or_wildcard(catalogue, "architecture", arch),
                exact_or_wildcard(catalogue, "dataset", data),
                exact_or_wildcard(catalogue, "task", task),
                options,
            )
        )
    if as_json:
        say_json([{**asdict(cell), "goes": cell.refusal is None} for cell in found])
    elif found:
        _say(found)
    else:
        note("no component matches this name")
    if arch is None and catalogue.items("family") and not as_json:
        first = catalogue.items("family")[0].canonical
        note(f"note: architectures of families are not shown; to show them, add for example --arch '{first}'")


def _say(found: list[Cell]) -> None:
    """A table for each task, then the reasons for refusals: one line for those that differ in the names alone."""
    texts: dict[str, list[str]] = {}
    for cell in found:
        if cell.refusal is not None:
            texts.setdefault(_without_names(cell), []).append(cell.refusal)
    reasons = list(texts)
    if reasons:
        say("no, N: see reason N at the end")
        say()
    for number, task in enumerate(dict.fromkeys(cell.task for cell in found)):
        if number:
            say()
        say(emphasised(task))
        of_task = [cell for cell in found if cell.task == task]
        datasets = list(dict.fromkeys(cell.dataset for cell in of_task))
        rows: dict[str, list[str]] = {}
        for cell in of_task:
            rows.setdefault(cell.architecture or "(no architecture)", []).append(_mark(cell, reasons))
        say_table(
            ["architecture", *(name.rpartition("/")[2] for name in datasets)],
            [[name, *marks] for name, marks in rows.items()],
            indent="  ",
        )
    if reasons:
        say()
    for number, (reason, told) in enumerate(texts.items(), 1):
        say_wrapped(f"{number}  ", told[0] if len(set(told)) == 1 else reason)
    if any(cell.changes for cell in found):
        say()
        say("*  images are resized or converted to fit the network; see --json for details")


def _mark(cell: Cell, reasons: list[str]) -> str:
    if cell.refusal is None:
        return "yes*" if cell.changes else "yes"
    return f"no, {reasons.index(_without_names(cell)) + 1}"


def _without_names(cell: Cell) -> str:
    """The refusal with ARCHITECTURE, DATASET and TASK in place of the names."""
    text = cell.refusal or ""
    names = {"ARCHITECTURE": cell.architecture, "DATASET": cell.dataset, "TASK": cell.task}
    for word, name in names.items():
        for each in () if name is None else (name, name.rpartition("/")[2]):
            # `multi_label` is a kind of targets, and not the task of that name
            text = re.sub(rf"(?<![\w/`]){re.escape(each)}(?![\w/`])", word, text)
    return text
