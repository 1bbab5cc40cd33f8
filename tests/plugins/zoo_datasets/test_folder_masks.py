"""A user's own images and masks: layouts, files of classes, and faults in one line each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from zoo_datasets.folder_kind import has_masks
from zoo_datasets.folder_masks import find_pairs, open_masks

from zoo.data.data_folder import Store
from zoo.data.data_loader import open_data
from zoo.errors import DataError
from zoo.registry.lookup import registry
from zoo.runs.resolve_config import dataset_section

SIDE = 8
COLOURS = {0: (0, 0, 0), 1: (255, 0, 0), 255: (224, 224, 192)}
VALUES = np.array([[0, 1, 1, 0, 0, 1, 255, 0]] * SIDE, np.uint8)


def put(file: Path, image: Image.Image) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)


def photograph(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (SIDE, SIDE, 3)).astype(np.uint8))


def grey(values: np.ndarray = VALUES) -> Image.Image:
    return Image.fromarray(values)


def palette() -> Image.Image:
    image = grey()
    image.putpalette([value for index in range(256) for value in COLOURS.get(index, (9, 9, 9))])
    return image


def rgb() -> Image.Image:
    return palette().convert("RGB")


def lay(root: Path, mask: Callable[[], Image.Image] = palette, images: str = "images", masks: str = "masks") -> None:
    for index, name in enumerate(("a", "b", "deep/c", "d", "e")):
        put(root / images / f"{name}.jpg", photograph(index))
        put(root / masks / f"{name}.png", mask())


def loaded(root: Path, part: str = "train") -> tuple[Any, np.ndarray]:
    """The target and the masks of a split, as a training gets them."""
    import torch

    section = dataset_section(registry(), f"folder:{root}", resize=SIDE)
    data = open_data(registry(), section, torch.device("cpu"), parts=(part,))  # type: ignore[arg-type]
    masks = data.part(part).targets  # type: ignore[arg-type]
    assert masks is not None
    return data.target, masks


def test_a_folder_without_splits_is_divided(tmp_path: Path) -> None:
    lay(tmp_path)
    assert has_masks(tmp_path) and not has_masks(tmp_path / "images")
    opened = open_masks(tmp_path, Store())
    assert opened.parts == {"train": "train", "test": "val"}
    train, val = opened.load("train"), opened.load("val")
    assert (len(train.images), len(val.images)) == (4, 1)
    assert sorted([*(train.names or ()), *(val.names or ())])[-1] == "images/e.jpg"
    assert open_masks(tmp_path, Store(), split_seed=0).load("val").names == val.names
    whole = open_masks(tmp_path, Store(), training=False)
    assert whole.parts == {"test": "all"} and len(whole.load("all").images) == 5


@pytest.mark.parametrize("above", [True, False], ids=["train/images", "images/train"])
def test_splits_above_or_below(tmp_path: Path, above: bool) -> None:
    for split in ("train", "val", "test"):
        names = [f"{split}/images", f"{split}/masks"] if above else [f"images/{split}", f"masks/{split}"]
        lay(tmp_path, palette, *names)
    opened = open_masks(tmp_path, Store())
    assert opened.parts == {"train": "train", "test": "test", "val": "val"}
    assert {name: len(pairs) for name, pairs in find_pairs(tmp_path).items()} == {"train": 5, "val": 5, "test": 5}


def test_a_test_split_without_masks_is_to_be_predicted(tmp_path: Path) -> None:
    for split in ("train", "val"):
        lay(tmp_path, palette, f"{split}/images", f"{split}/masks")
    put(tmp_path / "test" / "images" / "x.jpg", photograph())
    opened = open_masks(tmp_path, Store())
    assert opened.parts == {"train": "train", "test": "val", "predict": "test"}
    assert opened.load("test").targets is None
    assert open_masks(tmp_path, Store(), training=False).parts == {"test": "val"}


@pytest.mark.parametrize("mask", [grey, palette])
def test_without_a_file_classes_are_called_by_their_values(tmp_path: Path, mask: Callable[[], Image.Image]) -> None:
    lay(tmp_path, mask)
    target, masks = loaded(tmp_path)
    assert (target.names, target.ignore, target.colours) == (("0", "1"), 255, ())
    assert np.array_equal(masks[0], VALUES)


def test_names_in_classes_txt(tmp_path: Path) -> None:
    lay(tmp_path)
    (tmp_path / "classes.txt").write_text("ground\n\nroad \nriver\n", encoding="utf-8")
    target, masks = loaded(tmp_path)
    assert target.names == ("ground", "road", "river") and np.array_equal(masks[0], VALUES)


TABLES = {
    "hexadecimal": ("class,colour\nground,#000000\nroad,#ff0000\nignore,#e0e0c0\n", rgb),
    "decimal": ("Class,red,green,blue\nground,0,0,0\nroad,255,0,0\nvoid,224,224,192\n", rgb),
    "palettes by their colours": ("class,colour\nground,#000000\nroad,#ff0000\nignore,#e0e0c0\n", palette),
}


@pytest.mark.parametrize("name", TABLES)
def test_masks_are_read_by_the_colours_of_classes_csv(tmp_path: Path, name: str) -> None:
    table, mask = TABLES[name]
    lay(tmp_path, mask)
    (tmp_path / "classes.csv").write_text(table, encoding="utf-8")
    target, masks = loaded(tmp_path)
    assert target.names == ("ground", "road") and target.colours == ((0, 0, 0), (255, 0, 0))
    assert np.array_equal(masks[0], VALUES)


def test_grey_values_of_a_table(tmp_path: Path) -> None:
    lay(tmp_path, lambda: grey(np.where(VALUES == 1, 200, np.where(VALUES == 255, 128, 0)).astype(np.uint8)))
    (tmp_path / "classes.csv").write_text("class,value\noff,0\non,200\nignore,128\n", encoding="utf-8")
    assert np.array_equal(loaded(tmp_path)[1][0], VALUES)


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    lay(tmp_path)
    first = open_masks(tmp_path, Store()).fingerprint
    assert open_masks(tmp_path, Store()).fingerprint == first
    (tmp_path / "classes.txt").write_text("ground\nroad\n", encoding="utf-8")
    named = open_masks(tmp_path, Store()).fingerprint
    put(tmp_path / "masks" / "a.png", grey(1 - np.minimum(VALUES, 1)))
    assert len({first, named, open_masks(tmp_path, Store()).fingerprint}) == 3


def remove_image(root: Path) -> None:
    (root / "images" / "a.jpg").unlink()


def remove_mask(root: Path) -> None:
    (root / "masks" / "d.png").unlink()


def other_size(root: Path) -> None:
    put(root / "masks" / "b.png", grey(VALUES[:6]))


def colour_not_in_the_table(root: Path) -> None:
    (root / "classes.csv").write_text("class,colour\nground,#000000\nroad,#00ff00\n", encoding="utf-8")


def too_large_a_value(root: Path) -> None:
    (root / "classes.txt").write_text("ground\n", encoding="utf-8")


def colours_without_a_table(root: Path) -> None:
    put(root / "masks" / "a.png", rgb())


def no_png(root: Path) -> None:
    photograph().save(root / "masks" / "a.png", format="JPEG")


def same_colour(root: Path) -> None:
    (root / "classes.csv").write_text("class,colour\nground,#000000\nroad,#000000\n", encoding="utf-8")


def other_columns(root: Path) -> None:
    (root / "classes.csv").write_text("name,rgb\nground,#000000\n", encoding="utf-8")


def same_name(root: Path) -> None:
    (root / "classes.txt").write_text("road\nroad\n", encoding="utf-8")


def two_of_one_name(root: Path) -> None:
    put(root / "images" / "a.png", photograph())


FAULTS: dict[Callable[[Path], None], str] = {
    remove_image: r"this mask has no image: images/ has no a \(.*masks/a\.png\)",
    remove_mask: r"this image has no mask: masks/ has no d\.png",
    other_size: r"this mask is 6×8, but its image is 8×8 \(.*b\.png\)",
    colour_not_in_the_table: r"this mask has the colour \(255, 0, 0\) in row 0, column 1, which no class has",
    too_large_a_value: r"this mask has the value 1 in row 0, column 1: the classes are 0 to 0, and 255 is ignored",
    colours_without_a_table: "this mask has the mode RGB, and no file says which colour is which class",
    no_png: "this mask cannot be read",
    same_colour: "line 3: 'road,#000000' is no class with a colour of its own",
    other_columns: "the columns are name,rgb",
    same_name: "the file has the class 'road' twice",
    two_of_one_name: "there are two images called a",
}


@pytest.mark.parametrize("spoil", FAULTS, ids=[each.__name__ for each in FAULTS])
def test_a_fault_is_one_line(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    lay(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=FAULTS[spoil]) as found:
        for part in ("train", "test"):
            loaded(tmp_path, part)
    assert "\n" not in str(found.value)


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "cats" / "a.jpg", photograph())
    with pytest.raises(DataError, match="this folder has no images/ with masks/ beside it"):
        open_masks(tmp_path, Store())
