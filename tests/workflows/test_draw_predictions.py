"""Drawings of predictions: masks in colour with a legend, and a bound on the number of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo import runtime
from zoo.reporting import plots
from zoo.workflows.predict import DRAWN, Predictions

SPEC = {"channels": 1, "height": 20, "width": 30, "interpolation": "bilinear", "resize": runtime.SQUASH}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.new("L", (60, 80), 100).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is given to `plots.grid`, which draws it nevertheless."""
    calls: list[dict[str, Any]] = []
    grid = plots.grid

    def noted(file: Path, images: np.ndarray, titles: list[str], heading: str, **options: Any) -> None:
        calls.append({"images": images, "titles": titles, "keys": [], **options})
        grid(file, images, titles, heading, **options)

    monkeypatch.setattr(plots, "grid", noted)
    return calls


@pytest.mark.parametrize("size", [(20, 30), (80, 60)])
def test_a_mask_is_drawn_over_its_image(image: Path, tmp_path: Path, drawn: list[Any], size: tuple[int, int]) -> None:
    """A mask of the size of the input, and one of the size of the image."""
    mask = np.zeros(size, np.uint8)
    mask[:, size[1] // 2 :] = 1
    decision = {"kind": "pixel_argmax", "classes": ["$sky", "sea", "not in it"], "size": "image", "colours": []}
    Predictions(decision, [(image, mask)], "engine 1", SPEC).draw(tmp_path / "plot.png")
    (call,) = drawn
    pixels = call["images"][0].astype(int)
    assert pixels.shape == (20, 30, 3) and call["titles"] == ["$sky 50.0%"]
    left, right = pixels[:, :15].reshape(-1, 3), pixels[:, 15:].reshape(-1, 3)
    assert len(np.unique(left, axis=0)) == len(np.unique(right, axis=0)) == 1
    assert (left[0] != right[0]).any() and (left[0] != 100).any()
    assert [key.get_label() for key in call["keys"]] == ["$sky", "sea"]
    with Image.open(tmp_path / "plot.png") as png:
        assert png.size[1] > 100


def test_a_classifier_is_drawn_without_a_legend_and_the_first_images_alone(
    image: Path, tmp_path: Path, drawn: list[Any]
) -> None:
    decision = {"kind": "softmax", "classes": ["a", "b"], "temperature": 1.0, "abstain_below": None}
    rows = [(image, np.array([0.25, 0.75]))] * (DRAWN + 5)
    Predictions(decision, rows, "engine 1", SPEC).draw(tmp_path / "plot.png")
    (call,) = drawn
    assert len(call["images"]) == DRAWN and call["titles"] == ["b 75.0%"] * DRAWN and call["keys"] == []
    assert (call["images"] == 100).all()
