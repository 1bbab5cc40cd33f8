"""What a run says of the images it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

import zoo
from zoo.api import ArchitectureSpec
from zoo.config.run_config import DatasetSection
from zoo.data.preprocessing import plan
from zoo.reporting.console import Console


def test_samples_are_not_said_to_be_what_an_augmented_network_sees(tmp_path: Path) -> None:
    said = {}
    for name, augment in (("plain", []), ("augmented", ["flip", {"crop": 1}])):
        overrides = {"train": {"epochs": 1, "augment": augment}, "dataset": {"resize": 16}, "device": "cpu"}
        record = zoo.run("cnn_digits", overrides=overrides, out=tmp_path / name, console=Console(quiet=True)).record
        said[name] = next(each.caption for each in record.report_items if each.title == "Training images")
    assert said == {
        "plain": "The first training images after preprocessing, with their targets.",
        "augmented": "The first training images after preprocessing and before augmentation (flip, crop), with their "
        "targets.",
    }


@pytest.mark.parametrize(
    ("section", "own", "note"),
    [
        (
            {"fit": "crop"},
            None,
            (
                "images of any size are cropped at the centre to 32×32 without being resized; smaller ones are "
                "padded "
                "with black"
            ),
        ),
        ({"fit": "squash"}, None, "images of any size are squashed to 32×32, ignoring their aspect ratio"),
        ({"fit": "squash", "resize": 20}, 60, "60×60 images are squashed to 20×20, ignoring their aspect ratio"),
        ({}, None, "images of any size are resized, keeping their aspect ratio, and cropped at the centre to 32×32"),
        (
            {"scale": 40},
            None,
            "images of any size are resized to 40 pixels on their shorter side and cropped at the centre to 32×32",
        ),
        ({"resize": 16}, 8, "8×8 images are resized to 16×16"),
    ],
)
def test_the_note_says_how_images_come_to_their_size(section: dict[str, object], own: int | None, note: str) -> None:
    net = ArchitectureSpec(name="net", summary="a network", target="nowhere:build", input=(3, 32, 32), smallest=16)
    dataset = DatasetSection.model_validate({"name": "toy", **section})
    assert plan(dataset, (3, own, own), (0.5,) * 3, (0.25,) * 3, net)[1] == [note]
