"""``zoo list``"""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.listing import print_items
from zoo.cli.output import json_alone
from zoo.cli.shared_options import AsJson
from zoo.registry.lookup import registry


def list_items(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help=(
                "architectures, datasets, tasks, adaptations, recipes, exporters, augmentations or metrics; default: "
                "all."
            ),
        ),
    ] = None,
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", help="Part of a name, or a shell pattern like 'cnn*'.")
    ] = None,
    plugin: Annotated[
        str | None, typer.Option("--plugin", metavar="NAMESPACE", help="List only the components of this plugin.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    with json_alone(as_json):
        catalogue = registry()
    print_items(catalogue, kind, pattern, plugin, as_json=as_json)
