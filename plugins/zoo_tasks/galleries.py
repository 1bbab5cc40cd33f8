"""A table with an image of each sample, which the report shows as a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from zoo.api import PartView
from zoo.plugin import write_csv, write_image


def write_gallery(
    directory: Path,
    name: str,
    header: Sequence[str],
    part: PartView,
    indices: Sequence[int],
    rows: Sequence[Sequence[str]],
) -> None:
    """Write ``directory``/NAME.csv with the column ``image`` before those of ``header``, and the images as
    ``directory``/plots/NAME/NN.png; ``rows`` has a row for each of the samples ``indices``."""
    folder = directory / "plots" / name
    folder.mkdir(parents=True, exist_ok=True)
    images = part.images_of(indices) if indices else ()
    told = []
    for place, (image, row) in enumerate(zip(images, rows, strict=True)):
        file = f"{place:02d}.png"
        write_image(folder / file, Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image))
        told.append([f"plots/{name}/{file}", *row])
    write_csv(directory / f"{name}.csv", ["image", *header], told)
