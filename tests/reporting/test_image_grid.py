"""The grid of images that Pillow draws: which pixels are where."""

from __future__ import annotations

import numpy as np
from PIL import Image

from zoo.reporting.image_grid import CELL, GAP, HEADING, LINE, MARGIN, TEXT, Key, image_grid

TOP = MARGIN + round(HEADING * LINE) + GAP
TITLE = round(TEXT * LINE) + 4


def place(row: int, column: int, side: int = CELL) -> tuple[slice, slice]:
    top, left = TOP + row * (TITLE + side + GAP) + TITLE, MARGIN + column * (CELL + GAP)
    return slice(top, top + side), slice(left, left + CELL)


def test_images_stand_in_rows_and_small_ones_show_their_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)
    sheet = np.asarray(image_grid(images, [""] * 7, "", columns=5))
    for index, image in enumerate(images):
        np.testing.assert_array_equal(sheet[place(*divmod(index, 5))], image.repeat(CELL // 8, 0).repeat(CELL // 8, 1))
    assert (sheet[place(1, 2)] == 255).all()


def test_large_images_are_averaged_and_keep_their_aspect() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, CELL, 2 * CELL, 1), np.uint8)
    sheet = np.asarray(image_grid(image, ["a title"], "heading", columns=1))
    due = image[0, ..., 0].astype(float).reshape(CELL // 2, 2, CELL, 2).mean((1, 3))
    found = sheet[place(0, 0, CELL // 2)]
    np.testing.assert_allclose(found[..., 0], due, atol=1.01)  # Pillow rounds after each direction
    assert (found == found[..., :1]).all()


def test_titles_have_their_colours_and_stay_within_their_place() -> None:
    images = np.full((2, 4, 4, 3), 255, np.uint8)
    sheet = np.asarray(image_grid(images, ["W" * 60, ""], "heading", ["#ff0000", "black"], columns=2)).astype(int)
    rows = sheet[TOP : TOP + TITLE]
    red = (rows[..., 0] == 255) & (rows[..., 1] < 100)
    columns = np.flatnonzero(red.any(0))
    assert columns.size > 50 and columns.max() < MARGIN + CELL + GAP


def test_the_legend_names_each_colour() -> None:
    images = np.full((1, 4, 4, 3), 255, np.uint8)
    keys = [Key((0, 128, 255), "sky"), Key((255, 128, 0), "sea")]
    sheet = image_grid(images, [""], "", columns=1, keys=keys)
    colours = {colour for _, colour in sheet.getcolors(1 << 20)}
    assert {key.colour for key in keys} <= colours
    assert sheet.height > image_grid(images, [""], "", columns=1).height


def test_no_image_is_a_sheet_with_the_heading() -> None:
    sheet = image_grid(np.empty((0, 1, 1, 1), np.uint8), [], "nothing is wrong")
    assert isinstance(sheet, Image.Image) and np.asarray(sheet).min() == 0
