"""Masks by windows: they cover each image whole, as one pass over the whole image where a network sees one pixel, and
the same for every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo import runtime
from zoo.contract.decisions import PixelArgmax, Softmax

CLASSES = ("dark", "medium", "bright")


def described(resize: str = runtime.CROP, **more: Any) -> dict[str, Any]:
    spec = {
        "channels": 1, "height": 8, "width": 12, "mean": [0.0], "std": [1.0], "resize": resize,
        "interpolation": "bilinear", "scale": None, **more,
    }  # fmt: skip
    decision = PixelArgmax(classes=CLASSES).model_dump(mode="json")
    return {"input": spec, "output": {"kind": "map", "decision": decision}, "window": 0.5}


def by_brightness(inputs: np.ndarray) -> np.ndarray:
    """Logits (N, 3, H, W) of each pixel alone."""
    levels = np.array([0.1, 0.5, 0.9], np.float32)[None, :, None, None]
    return np.asarray(-np.abs(inputs - levels), np.float32)


def photograph(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.RandomState(height).randint(0, 256, (height, width)).astype(np.uint8))


@pytest.mark.parametrize(("height", "width"), [(8, 12), (30, 41), (9, 100), (8, 13)])
@pytest.mark.parametrize("batch", [None, 5])
def test_a_network_that_sees_one_pixel_gives_the_mask_of_the_whole_image(
    tmp_path: Path, height: int, width: int, batch: int | None
) -> None:
    image, file = photograph(height, width), tmp_path / "a.png"
    image.save(file)
    sizes = []

    def run(inputs: np.ndarray) -> np.ndarray:
        sizes.append(inputs.shape)
        return by_brightness(inputs)

    [(path, mask)] = runtime.predict(run, described(batch=batch), [file])
    whole = by_brightness(np.asarray(image, np.float32)[None, None] / 255).argmax(1)[0]
    assert path == file and mask.dtype == np.uint8 and np.array_equal(mask, whole)
    assert all(shape[1:] == (1, 8, 12) and shape[0] <= (batch or runtime.BATCH) for shape in sizes)
    assert batch is None or {shape[0] for shape in sizes} == {batch}


def test_outputs_are_added_up_by_their_distance_to_the_border() -> None:
    """Against a plain loop over windows and pixels; the network looks at where in the window a pixel is."""
    pixels = np.random.RandomState(0).randint(0, 256, (1, 19, 25)).astype(np.uint8)
    place = np.random.RandomState(1).normal(0, 1, (3, 8, 12)).astype(np.float32)
    found = runtime.window_mask(lambda inputs: by_brightness(inputs) + place, pixels, described())
    total = np.zeros((3, 19, 25))
    for top in runtime.window_starts(19, 8, 0.5):
        for left in runtime.window_starts(25, 12, 0.5):
            window = pixels[:, top : top + 8, left : left + 12].astype(np.float32)[None] / 255
            outputs = by_brightness(window)[0] + place
            for row in range(8):
                for column in range(12):
                    weight = min(row + 1, 8 - row, column + 1, 12 - column)
                    total[:, top + row, left + column] += weight * outputs[:, row, column]
    assert np.array_equal(found, total.argmax(0))


@pytest.mark.parametrize("side", [8, 9, 15, 16, 17, 100])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
def test_windows_cover_a_side_evenly(side: int, overlap: float) -> None:
    starts = runtime.window_starts(side, 8, overlap)
    assert (starts[0], starts[-1]) == (0, side - 8)
    steps = np.diff(starts)
    assert not len(steps) or (steps.max() - steps.min() <= 1 and steps.max() <= max(1, 8 * (1 - overlap)))


@pytest.mark.parametrize("resize", [runtime.COVER, runtime.SQUASH, runtime.CROP])
@pytest.mark.parametrize("scale", [None, 20])
@pytest.mark.parametrize(("height", "width"), [(30, 41), (41, 30), (5, 6), (8, 12)])
def test_what_training_crops_is_the_centre_of_the_whole(
    resize: str, scale: int | None, height: int, width: int
) -> None:
    spec = described(resize, scale=scale if resize == runtime.COVER else None)["input"]
    image = photograph(height, width)
    whole, fitted = runtime.fit_whole(image, spec), runtime.fit(image, spec)
    assert whole.width >= 12 and whole.height >= 8
    assert resize != runtime.SQUASH or whole.size == (12, 8)
    around = [  # centre crops round up or down
        whole.crop((left, top, left + 12, top + 8))
        for left in {(whole.width - 12) // 2, -((12 - whole.width) // 2)}
        for top in {(whole.height - 8) // 2, -((8 - whole.height) // 2)}
    ]
    assert any(each.tobytes() == fitted.tobytes() for each in around)


def test_masks_have_the_size_of_their_images_and_faults_are_of_their_files(tmp_path: Path) -> None:
    photograph(30, 41).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    failures: list[tuple[Path, str]] = []
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for resize in (runtime.COVER, runtime.SQUASH):
        [(file, mask)] = runtime.predict(by_brightness, described(resize), files, failures)
        assert file.name == "a.png" and mask.shape == (30, 41)
    assert [file.name for file, _ in failures] == ["b.png", "b.png"]


def test_other_decisions_and_overlaps_are_refused() -> None:
    with pytest.raises(ValueError, match="windows need a model that gives masks, and the decision is softmax"):
        runtime.check_window(0.5, Softmax(classes=CLASSES).model_dump(mode="json"))
    for wrong in (-0.1, 0.95, float("nan")):
        with pytest.raises(ValueError, match=r"not a share from 0 to 0\.9"):
            runtime.check_window(wrong, PixelArgmax(classes=CLASSES).model_dump(mode="json"))


def test_written_masks_have_the_colours_of_the_classes_or_pascal_vocs(tmp_path: Path) -> None:
    mask = np.array([[0, 1], [2, 2]], np.uint8)
    own = PixelArgmax(classes=CLASSES, colours=((1, 2, 3), (4, 5, 6), (7, 8, 9))).model_dump(mode="json")
    for decision, colour in ((own, (4, 5, 6)), ({}, (128, 0, 0))):
        [file] = runtime.write_masks(tmp_path, [(Path("a.jpg"), mask)], decision)
        with Image.open(file) as image:
            assert image.mode == "P" and np.array_equal(np.asarray(image), mask)
            assert image.convert("RGB").getpixel((1, 0)) == colour
