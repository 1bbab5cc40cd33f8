"""``zoo search``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.index import DEFAULT, IndexFile
from zoo.cli.output import json_alone, note, say, say_json
from zoo.cli.shared_options import AsJson, BundleProvider, whole_number
from zoo.support.paths import check_drawing


def search(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Query images.")],
    file: IndexFile = DEFAULT,
    top: Annotated[
        str,
        typer.Option("--top", metavar="K", show_default=False, help="Number of matches for each query; default: 5."),
    ] = "5",
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="PNG", help="Write an image of the first 20 queries with their matches to this file."
        ),
    ] = None,
    provider: BundleProvider = "cpu",
    as_json: AsJson = False,
) -> None:
    count = whole_number("--top", top, 5)
    check_drawing(plot)
    with json_alone(as_json):
        from zoo.workflows.image_index import search as find

        found = find(images, index=file, top=count, provider=provider)
    if plot is not None:
        from zoo.workflows.draw_matches import draw

        draw(plot, found)
    if as_json:
        say_json([{"image": image, "matches": list(map(vars, matches))} for image, matches in found])
        return
    for image, matches in found:
        if len(found) > 1:
            say(f"{image}:")
        for match in matches:
            say(f"{match.similarity:.3f}  {match.path}")
    if plot is not None:
        note(f"saved: {plot}")
