"""zoo predict with files of all kinds: each bad one is named, the others are predicted, and the exit code says that
there were some."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo import runtime
from zoo.errors import DataError
from zoo.workflows.predict import predict

BUNDLE = str(Path(__file__).parents[2] / "exports" / "published" / "cnn_mnist")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Five images that can be read, two that cannot, one hidden file and one that is no image."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    for name, kind in (
        ("p.png", "PNG"),
        ("x.jfif", "JPEG"),
        ("noext", "JPEG"),
        ("moving.gif", "GIF"),
        ("trunc.jpg", "JPEG"),
    ):
        Image.fromarray(pixels).save(folder / name, kind)
    Image.fromarray(pixels).convert("CMYK").save(folder / "cmyk.jpeg", "JPEG")
    (folder / "trunc.jpg").write_bytes((folder / "trunc.jpg").read_bytes()[:-100])
    (folder / "zero.jpg").write_bytes(b"")
    (folder / "._p.png").write_bytes(b"resource")
    (folder / "README").write_text("what this is")
    return folder


GOOD = ["cmyk.jpeg", "moving.gif", "noext", "p.png", "x.jfif"]


def test_bad_files_are_named_and_the_others_predicted(zoo, mixed: Path, tmp_path: Path) -> None:
    told = zoo("predict", BUNDLE, str(mixed), "--csv", str(tmp_path / "rows.csv"))
    assert told.code == 3
    assert [Path(line.partition(": ")[0]).name for line in told.out.splitlines()] == GOOD
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as stream:
        assert [Path(row["file"]).name for row in csv.DictReader(stream)] == GOOD
    lines = told.err.splitlines()
    assert [line for line in lines if "trunc.jpg: cannot be read: " in line] and [
        line for line in lines if "zero.jpg: is not an image" in line
    ]
    assert "note: skipped files: 1 hidden, 1 non-image" in lines
    assert lines[-1] == "error: 2 of 7 images were not predicted (named above); fix: repair, convert or remove them"


def test_bad_files_stand_in_the_json(zoo, mixed: Path) -> None:
    told = zoo("predict", BUNDLE, str(mixed), "--json")
    facts = json.loads(told.out)
    assert told.code == 3
    assert [Path(row["file"]).name for row in facts["predictions"]] == GOOD
    assert [Path(row["file"]).name for row in facts["failures"]] == ["trunc.jpg", "zero.jpg"]


def test_where_none_can_be_read_nothing_is_drawn(zoo, mixed: Path, tmp_path: Path) -> None:
    told = zoo(
        "predict", BUNDLE, str(mixed / "zero.jpg"), str(mixed / "trunc.jpg"), "--plot", str(tmp_path / "grid.png")
    )
    assert told.code == 3 and told.out == "" and not (tmp_path / "grid.png").exists()
    assert told.err.endswith(
        "error: 2 of 2 images were not predicted (named above); fix: repair, convert or remove them\n"
    )
    alone = zoo("predict", BUNDLE, str(mixed / "zero.jpg"))
    assert (
        alone.code == 3
        and alone.err.startswith("error: this file is not an image in a supported format")
        and alone.err.count("\n") == 1
    )


def test_the_limit_on_pixels_is_named_and_can_be_set(zoo, tmp_path: Path) -> None:
    Image.new("L", (6000, 1)).save(tmp_path / "strip.png")
    assert zoo("predict", BUNDLE, str(tmp_path / "strip.png")).code == 0
    told = zoo("predict", BUNDLE, str(tmp_path / "strip.png"), "--max-pixels", "1000000")
    assert told.code == 3
    assert (
        "is 6000×1, which would be scaled to 168000×28, more than max_pixels=1,000,000" in told.err
        and "--max-pixels" in told.err
    )
    assert zoo("predict", BUNDLE, str(tmp_path / "strip.png"), "--max-pixels", "many").code == 2


def test_in_python_a_bad_file_raises_unless_failures_are_asked_for(mixed: Path) -> None:
    with pytest.raises(DataError, match=r"trunc\.jpg: cannot be read"):
        predict(BUNDLE, [mixed])
    found = predict(BUNDLE, [mixed], keep_going=True)
    assert [path.name for path, _ in found.rows] == GOOD
    assert [path.name for path, _ in found.failures] == ["trunc.jpg", "zero.jpg"]


def test_an_animation_is_predicted_by_its_first_frame(zoo, tmp_path: Path) -> None:
    frames = [
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)) for seed in range(3)
    ]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "moving.gif") as first_frame:
        first_frame.convert("L").save(tmp_path / "first.png")
    moving, first = (
        zoo("predict", BUNDLE, str(tmp_path / name)).out.partition(": ")[2] for name in ("moving.gif", "first.png")
    )
    assert moving == first != ""
    assert runtime.is_image(tmp_path / "moving.gif")
