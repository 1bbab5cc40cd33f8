"""A grid of titled images, drawn by Pillow: a plotting library takes a hundred times as long for photographs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL, MARGIN, GAP = 192, 12, 12
"""Pixels: the side of an image's place, the border of the grid, and the space between two places."""
TEXT, HEADING = 15, 20
"""The sizes of titles and of the heading in pixels."""
LINE = 1.35
"""The height of a line of text, relative to its size."""


class Key(NamedTuple):
    """An entry of the legend: a colour (red, green, blue; 0 to 255) and its label."""

    colour: tuple[int, int, int]
    label: str


def image_grid(
    images: np.ndarray,
    titles: Sequence[str],
    heading: str,
    colours: Sequence[str] | None = None,
    columns: int = 5,
    keys: Sequence[Key] = (),
) -> Image.Image:
    """Return titled images, uint8 (n, H, W, 1 or 3), in rows of ``columns``, on white, with a legend of ``keys`` below.

    Images are scaled to their places with the aspect kept: larger ones are averaged, smaller ones show their pixels as
    squares.
    """
    rows, lines = max(1, -(-len(images) // columns)), _wrapped(heading, columns)
    width = columns * (CELL + GAP) - GAP + 2 * MARGIN
    title, line = round(TEXT * LINE) + 4, round(HEADING * LINE)
    scaled = [_scaled(image) for image in images]
    side = max((each.height for each in scaled), default=CELL)  # images of a split have one size
    top = MARGIN + line * len(lines) + GAP
    legend = top + rows * (title + side + GAP)
    height = legend + -(-len(keys) // columns) * (title + 4) + (MARGIN if keys else 0)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for place, text in enumerate(lines):
        _centred(draw, text, width / 2, MARGIN + place * line, HEADING, "black")
    for index, (image, text) in enumerate(zip(scaled, titles, strict=False)):
        row, column = divmod(index, columns)
        left, above = MARGIN + column * (CELL + GAP), top + row * (title + side + GAP)
        _centred(draw, _fitting(text), left + CELL / 2, above, TEXT, colours[index] if colours else "black")
        sheet.paste(image, (left + (CELL - image.width) // 2, above + title))
    for index, key in enumerate(keys):
        row, column = divmod(index, columns)
        left, above = MARGIN + column * (CELL + GAP), legend + row * (title + 4)
        draw.rectangle((left, above + 2, left + TEXT * 2, above + TEXT), key.colour)
        draw.text((left + TEXT * 2 + 8, above), _fitting(key.label, CELL - TEXT * 2 - 8), "black", _font(TEXT))
    return sheet


def _scaled(image: np.ndarray) -> Image.Image:
    drawn = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    factor = CELL / max(drawn.size)
    size = (max(1, round(drawn.width * factor)), max(1, round(drawn.height * factor)))
    return drawn.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX)


def _wrapped(heading: str, columns: int) -> list[str]:
    return textwrap.wrap(heading, 17 * columns) or [""]


def _centred(draw: ImageDraw.ImageDraw, text: str, middle: float, top: int, size: int, colour: str) -> None:
    draw.text((middle - draw.textlength(text, _font(size)) / 2, top), text, colour, _font(size))


def _fitting(text: str, width: int = CELL + GAP) -> str:
    """Cut a text that would reach into the next place."""
    font = _font(TEXT)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of the plots, DejaVu Sans, which comes with matplotlib (not imported for it)."""
    package = find_spec("matplotlib")
    for folder in [] if package is None else package.submodule_search_locations or []:
        file = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)
    return ImageFont.load_default(size)
