"""``zoo show``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import takes
from zoo.cli.output import json_alone, note, say, say_json
from zoo.cli.shared_options import AsJson, options_of
from zoo.support.paths import check_drawing


@dataclass(frozen=True)
class ShowOptions:
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="Dataset: a name listed by `zoo list datasets`, or folder:PATH.")
    ]
    split: Annotated[
        str | None, typer.Option("--split", metavar="SPLIT", help="Split: train (default), val, test or predict.")
    ] = None
    count: Annotated[
        int | None, typer.Option("--count", metavar="N", help="Number of images; default: 20, or 4 with --augment.")
    ] = None
    permute: Annotated[
        int | None,
        typer.Option(
            "--permute-pixels", metavar="SEED", help="Show each image above its version with permuted pixels."
        ),
    ] = None
    augment: Annotated[
        str | None,
        typer.Option(
            "--augment",
            metavar="SPEC",
            help='Show each image beside augmented versions of it, such as "flip, crop: 4".',
        ),
    ] = None
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY.PATH=VALUE", help="Set a key of the dataset; may be repeated."),
    ] = None
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PNG", help="Image file to write; default: DATASET-SPLIT.png.")
    ] = None
    as_json: AsJson = False


@takes(ShowOptions)
def show(options: ShowOptions) -> None:
    from zoo.config.augmentation_options import parse_augment
    from zoo.registry.lookup import registry
    from zoo.runs.resolve_config import dataset_section

    out = options.out
    check_drawing(out if out is None or out.suffix else out.with_suffix(".png"))
    section = options_of(options.assignments, "dataset")
    with json_alone(options.as_json):
        dataset_section(registry(), options.dataset, **section)  # a wrong name is refused before torch is imported
    from zoo.workflows.show import show as draw

    steps = parse_augment(options.augment) if options.augment is not None else []
    with json_alone(options.as_json):
        shown = draw(
            options.dataset, split=options.split, count=options.count, permute_pixels=options.permute, augment=steps,
            options=section, out=out
        )  # fmt: skip
    if options.as_json:
        say_json(
            {
                "dataset": options.dataset,
                "split": shown.part,
                "image": str(shown.file.absolute()),
                "notes": shown.notes,
            }
        )
    else:
        for line in shown.notes:
            note(f"note: {line}")
        say(f"saved: {shown.file}")
