"""`zoo show`: what is drawn, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.config.augmentation_options import canonical
from zoo.errors import StorageError, UsageError
from zoo.reporting import plots
from zoo.workflows.show import show


@pytest.fixture
def drawn(monkeypatch):
    """What each call of the drawing functions was given."""
    calls = []
    for name in ("samples", "grid", "permuted_pairs"):
        original = getattr(plots, name)

        def spy(*arguments, _name=name, _original=original, **options):
            calls.append((_name, arguments))
            return _original(*arguments, **options)

        monkeypatch.setattr(plots, name, spy)
    return calls


def test_twenty_images_under_their_classes(tmp_path, monkeypatch, drawn) -> None:
    monkeypatch.chdir(tmp_path)
    file, part, _ = show("digits")
    assert (file.name, part) == ("digits-train.png", "train")
    with Image.open(file) as image:
        assert image.format == "PNG"
        assert min(image.size) > 500
    _, (_, images, titles, heading) = drawn[1]
    assert images.shape == (20, 8, 8, 1)
    assert len(titles) == 20
    assert set(titles) <= set("0123456789")
    assert heading == "digits, train split: 20 of 1,437 images, 1×8×8"


def test_options_of_the_dataset_part_and_count(tmp_path, drawn) -> None:
    show("digits", split="test", count=7, options={"resize": 16}, out=tmp_path / "x.png")
    assert drawn[1][1][1].shape == (7, 16, 16, 1)


def test_images_without_labels_are_shown_without_naming_their_part(tmp_path, drawn) -> None:
    assert show("photos", count=1, options={"resize": 32}, out=tmp_path / "x.png").part == "predict"
    assert drawn[1][1][2] == ["china.jpg"]


def test_permuted_images_are_below_themselves(tmp_path, drawn) -> None:
    show("digits", permute_pixels=3, out=tmp_path / "x")
    assert (tmp_path / "x.png").is_file()
    _, (_, plain, permuted, titles, _) = drawn[0]
    assert len(plain) == len(titles) == 10
    order = np.random.RandomState(3).permutation(64)
    assert np.array_equal(permuted.reshape(10, 64), plain.reshape(10, 64)[:, order])


def test_augmented_images_are_beside_themselves(tmp_path, drawn) -> None:
    show("digits", augment=canonical("flip: 1.0"), out=tmp_path / "x.png")
    _, (_, images, titles, heading) = drawn[0]
    assert images.shape == (20, 8, 8, 1)
    for row in range(4):
        plain, *changed = images[5 * row : 5 * row + 5]
        assert all(np.array_equal(image, plain[:, ::-1]) for image in changed)
    assert titles[1:5] == ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]
    assert heading == "digits: flip"


def test_as_many_augmented_images_are_drawn_as_were_asked_for(tmp_path: Path, drawn: list[Any]) -> None:
    show("digits", count=10, augment=canonical("flip: 1.0"), out=tmp_path / "x.png")
    _, (_, images, _, _) = drawn[0]
    assert len(images) == 10 * 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0}, "--count must be at least 1"),
        ({"split": "nope"}, "has no nope split"),
        ({"permute_pixels": 1, "augment": canonical("flip")}, "cannot be combined"),
        ({"options": {"resise": 3}}, "resise"),
    ],
)
def test_what_cannot_be_shown_is_one_line(tmp_path, options, words) -> None:
    with pytest.raises(UsageError, match=words):
        show("digits", **options, out=tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_a_place_that_cannot_be_written(tmp_path, monkeypatch) -> None:
    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("zoo.reporting.plots.samples", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        show("digits", out=tmp_path / "x.png")
