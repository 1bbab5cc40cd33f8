"""Files of images to one array: what makes an entry of the cache another one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data import dataset_cache, decoding
from zoo.data.decoding import decoded
from zoo.data.preprocessing import Preprocessing
from zoo.errors import DataError

PLAIN = Preprocessing(channels=3, height=8, width=8, mean=(0.5,) * 3, std=(0.5,) * 3)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def files(tmp_path):
    made = []
    for index in range(6):
        made.append(tmp_path / f"{index}.png")
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (8 + index, 9, 3), dtype=np.uint8)).save(made[-1])
    return made


def test_every_image_is_where_its_file_was(files) -> None:
    array = decoded(files, PLAIN, sha256, "toy")
    for index, file in enumerate(files):
        assert np.array_equal(array[index], PLAIN.read(file))
    assert dataset_cache.entries()[0].description["dataset"] == "toy"


def test_the_deterministic_transform_and_the_content_make_an_entry_and_nothing_else_does(files, tmp_path) -> None:
    def entries_after(*arguments):
        decoded(*arguments)
        return len(dataset_cache.entries())

    assert entries_after(files, PLAIN, sha256, "toy") == 1
    assert entries_after(files, PLAIN.model_copy(update={"mean": (0.1,) * 3, "std": (2.0,) * 3}), sha256, "other") == 1
    copies = [tmp_path / f"copy{index}.png" for index in range(6)]
    for copy, file in zip(copies, files, strict=True):
        copy.write_bytes(file.read_bytes())
    assert entries_after(copies, PLAIN, sha256, "toy") == 1
    assert entries_after(files, PLAIN.model_copy(update={"height": 9}), sha256, "toy") == 2
    assert (
        entries_after(files, Preprocessing(channels=1, height=8, width=8, mean=(0.5,), std=(0.5,)), sha256, "toy") == 3
    )
    assert entries_after(files, PLAIN.model_copy(update={"permute_pixels": 1}), sha256, "toy") == 4
    assert entries_after(files[::-1], PLAIN, sha256, "toy") == 5
    files[0].write_bytes(files[1].read_bytes())
    assert entries_after(files, PLAIN, sha256, "toy") == 6


def test_pixels_made_in_an_older_way_are_not_used_again(files, monkeypatch) -> None:
    decoded(files, PLAIN, sha256, "toy")
    monkeypatch.setattr(decoding, "PIXELS", decoding.PIXELS + 1)
    decoded(files, PLAIN, sha256, "toy")
    assert len({entry.key for entry in dataset_cache.entries()}) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is not an image"), (b"hello", "is not an image"), (None, "No such file"), ("cut", "cannot be read")],
    ids=str,
)
def test_a_file_that_is_no_image_is_named_and_nothing_is_kept(files, content, words) -> None:
    if content is None:
        files[3].unlink()
    else:
        files[3].write_bytes(files[3].read_bytes()[:100] if content == "cut" else content)
    with pytest.raises(DataError, match=rf"{words}.*3\.png") as caught:
        decoded(files, PLAIN, sha256, "toy")
    assert caught.value.exit_code == 3
    assert dataset_cache.entries() == []


def test_long_work_is_said(files, monkeypatch, capsys) -> None:
    monkeypatch.setattr(decoding, "SAY_FROM", 3)
    decoded(files, PLAIN, sha256, "toy")
    decoded(files, PLAIN, sha256, "toy")
    assert capsys.readouterr().err == "toy: decoding 6 images, once\n"
