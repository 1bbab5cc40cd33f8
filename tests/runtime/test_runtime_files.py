"""Which files are images, what is said of the others, and the limit on their pixels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo import runtime
from zoo.config import run_config
from zoo.runtime import COVER, CROP, SQUASH, OutsideLimitError, find_images, fit, predict, read_image

GREY = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
SPEC: dict[str, Any] = {
    "channels": 1,
    "height": 8,
    "width": 8,
    "mean": [0.5],
    "std": [0.25],
    "resize": COVER,
    "interpolation": "bilinear",
}


def put(path: Path, format_: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(GREY).save(path, format=format_)
    return path


def test_a_folder_gives_its_images_sorted_and_counts_the_rest(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/c.gif", "photo.jfif", "noext"):
        put(tmp_path / name)
    for name in ("notes.txt", "sub/README", "camera.nef", "empty"):
        (tmp_path / name).write_bytes(b"II*\0 and so on" if name == "camera.nef" else b"")
    for name in ("._b.png", ".hidden/d.png"):
        put(tmp_path / name)
    found = find_images([tmp_path])
    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == [
        "a.JPG",
        "b.png",
        "noext",
        "photo.jfif",
        "sub/c.gif",
    ]
    assert (found.hidden, found.others) == (2, 4)
    assert found.skipped == "skipped files: 2 hidden, 4 non-image"
    assert find_images([tmp_path / "b.png"]).skipped == ""


def test_a_file_with_the_name_of_an_image_is_never_passed_over(tmp_path: Path) -> None:
    (tmp_path / "zero.jpg").write_bytes(b"")
    (tmp_path / "gone.png").symlink_to("nowhere")
    assert [path.name for path in find_images([tmp_path]).files] == ["gone.png", "zero.jpg"]
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_image(tmp_path / "gone.png", 1)


def test_where_there_is_nothing_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images"):
        find_images([tmp_path])
    with pytest.raises(ValueError, match="no such file or folder"):
        find_images([tmp_path / "nowhere.png"])


def test_links_to_folders_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    put(tmp_path / "store" / "a.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "store")
    assert find_images([tmp_path / "in"]).files == [tmp_path / "in" / "link" / "a.png"]
    (tmp_path / "store" / "back").symlink_to(tmp_path / "in")
    with pytest.raises(ValueError, match="leads back"):
        find_images([tmp_path / "in"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match="is no regular file"):
        read_image(tmp_path / "pipe.png", 1)
    os.mkfifo(tmp_path / "pipe")
    assert not runtime.is_image(tmp_path / "pipe")


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
@pytest.mark.parametrize("name", ["image.png", "image", "image.dat"])
def test_an_image_is_read_by_its_content_whatever_its_name(tmp_path: Path, format_: str, name: str) -> None:
    if format_ not in runtime.FORMATS:
        pytest.skip(f"this pillow does not read {format_}")
    assert read_image(put(tmp_path / name, format_), 1).size == (8, 8)


def mean_of(inputs: np.ndarray) -> np.ndarray:
    return np.stack([inputs.mean((1, 2, 3)), np.zeros(len(inputs))], axis=1)


@pytest.mark.parametrize("fixed", [None, 3])
def test_files_that_cannot_be_read_are_collected_and_the_others_predicted(tmp_path: Path, fixed: int | None) -> None:
    files = [put(tmp_path / f"{index}.png") for index in range(7)]
    for bad in (0, 4, 5, 6):
        files[bad].write_bytes(b"no image")
    failures: list[tuple[Path, str]] = []
    spec = SPEC if fixed is None else {**SPEC, "batch": fixed}
    description = {"input": spec, "output": {"classes": ["bright", "dark"]}}
    rows = list(predict(mean_of, description, files, failures))
    assert [path for path, _ in rows] == [files[1], files[2], files[3]]
    assert [path for path, _ in failures] == [files[0], files[4], files[5], files[6]]
    assert all("is not an image" in reason for _, reason in failures)
    with pytest.raises(ValueError, match=r"0\.png: is not an image"):
        list(predict(mean_of, description, files))


def test_predict_py_names_each_bad_file_and_goes_on(put_client: Callable[[Path], Path], tmp_path: Path) -> None:
    """The bundle that is committed, with this predict.py."""
    published = Path(__file__).parents[2] / "exports" / "published" / "cnn_mnist"
    bundle = shutil.copytree(published, tmp_path / "bundle")
    put_client(bundle)
    for name in ("good.png", "noext", "._good.png"):
        put(tmp_path / "in" / name)
    (tmp_path / "in" / "zero.jpg").write_bytes(b"")
    (tmp_path / "in" / "notes.txt").write_bytes(b"")
    command = [
        sys.executable,
        str(bundle / "predict.py"),
        str(tmp_path / "in"),
        "--csv",
        str(tmp_path / "rows.csv"),
        "--max-pixels",
        "1000",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3, done.stderr
    assert [Path(line.partition(": ")[0]).name for line in done.stdout.splitlines()] == ["good.png", "noext"]
    assert [
        line for line in done.stderr.splitlines() if "zero.jpg: is not an image" in line and line.startswith("error: ")
    ]
    assert "skipped files: 1 hidden, 1 non-image" in done.stderr.splitlines()
    assert len((tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_the_limit_is_one_number_in_all_places() -> None:
    assert runtime.MAX_PIXELS == run_config.MAX_PIXELS


@pytest.mark.parametrize("size", [(60000, 1), (20000, 2), (1, 60000)])
@pytest.mark.parametrize("scale", [None, 256])
def test_a_strip_is_refused_by_its_scaled_size(
    size: tuple[int, int], scale: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"height": 224, "width": 224, "resize": COVER, "scale": scale, "interpolation": "bilinear"}
    monkeypatch.setattr(Image.Image, "resize", lambda *_: pytest.fail("it was scaled"))
    with pytest.raises(
        OutsideLimitError, match=r"is \d+×\d+, which would be scaled to \d+×\d+, more than max_pixels=100,000,000"
    ):
        fit(Image.new("L", size), spec)


LIMITED: dict[str, tuple[dict[str, Any], tuple[int, int], int]] = {
    "source": ({"resize": CROP}, (20, 30), 600),
    "scaled": ({"resize": COVER}, (4, 1), 40 * 10),
    "scaled to a shorter side": ({"resize": COVER, "scale": 12}, (1, 4), 12 * 48),
    "between the two steps": ({"resize": SQUASH}, (1, 30), 10 * 30),
}


@pytest.mark.parametrize("limited", LIMITED.values(), ids=LIMITED)
def test_the_limit_is_on_every_step_and_can_be_set(
    tmp_path: Path, limited: tuple[dict[str, Any], tuple[int, int], int]
) -> None:
    options, size, most = limited
    Image.new("L", size).save(tmp_path / "a.png")
    spec = {"channels": 1, "height": 10, "width": 10, "interpolation": "bilinear", **options}
    assert runtime.read(tmp_path / "a.png", {**spec, "max_pixels": most}).size == (10, 10)
    with pytest.raises(OutsideLimitError, match=f"more than max_pixels={most - 1}"):
        runtime.read(tmp_path / "a.png", {**spec, "max_pixels": most - 1})


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "bytes changed": lambda content: bytes(byte ^ (index % 7 == 3) * 90 for index, byte in enumerate(content)),
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: content[:20] + bytes(len(content) - 20),
}


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    tmp_path: Path, format_: str, damage: Callable[[bytes], bytes]
) -> None:
    if format_ not in runtime.FORMATS:
        pytest.skip(f"this pillow does not read {format_}")
    path = put(tmp_path / "a", format_)
    path.write_bytes(damage(path.read_bytes()))
    try:
        assert read_image(path, 3).mode == "RGB"
    except ValueError as error:
        assert str(error).startswith(("cannot be read: ", "is not an image", "is "))
