"""Images without labels, by a file, a folder or a pattern."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zoo_datasets.images import open_images
from zoo_datasets.options import ImagesOptions

from zoo.data.data_folder import Store
from zoo.errors import DataError


@pytest.fixture
def album(tmp_path):
    numbers = np.random.default_rng(0)
    for name in ("b.png", "a.jpg", "more/c.png", "more/[1].png"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(numbers.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(file)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def opened(path: Path):
    return open_images(ImagesOptions(path=str(path)), Store(Path("unused")))


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("b.png", ["b.png"]),
        (".", ["a.jpg", "b.png", "[1].png", "c.png"]),
        ("*.jpg", ["a.jpg"]),
        ("?.[jp]*", ["a.jpg", "b.png"]),
        ("**/*.png", ["b.png", "[1].png", "c.png"]),
        ("mor*", ["[1].png", "c.png"]),
        ("more/[1].png", ["[1].png"]),
    ],
)
def test_what_a_path_means(album, path, names) -> None:
    split = opened(album / path).load("images")
    assert (split.names, split.targets) == (names, None)
    assert [Path(file).name for file in split.images] == names and all(Path(file).is_file() for file in split.images)


def test_the_fingerprint_is_of_names_and_contents(album) -> None:
    before = opened(album).fingerprint
    assert opened(album / "**" / "*.??g").fingerprint == before  # the same files in the same order
    (album / "b.png").rename(album / "d.png")
    renamed = opened(album).fingerprint
    (album / "d.png").write_bytes((album / "a.jpg").read_bytes())
    assert len({before, renamed, opened(album).fingerprint}) == 3


@pytest.mark.parametrize(
    ("path", "words"),
    [("nothing", "no such file or folder"), ("*.gif", "no such file or folder"), ("**x", ""), ("empty", "no images")],
)
def test_where_there_are_none_it_is_told(album, path, words) -> None:
    (album / "empty").mkdir()
    with pytest.raises(DataError, match=f"{words}.*fix: check the path after images:"):
        opened(album / path)
