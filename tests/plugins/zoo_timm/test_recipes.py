"""The recipe for fine-tuning: what it resolves to, and that it trains on a folder of photographs."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve

RECIPE = "imagefolder_finetune"


@pytest.fixture
def photos(tmp_path):
    """Two classes of 12 images of different sizes, red and blue."""
    draw = np.random.default_rng(0)
    for index in range(24):
        height, width = draw.integers(170, 260, 2)
        pixels = draw.integers(0, 100, (height, width, 3), dtype=np.uint8)
        pixels[..., 2 * (index % 2)] += 150
        place = tmp_path / "photos" / ("red", "blue")[index % 2] / f"{index}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
    return tmp_path / "photos"


def test_crops_come_from_the_photographs_and_the_precision_is_that_of_the_device() -> None:
    config = resolve(registry(), RECIPE, overrides={"weights": "none"}).config
    assert config.dataset.cache == "source" and next(iter(config.train.augment[0])) == "resized_crop"
    assert config.train.ema_decay == 0.99 and config.train.precision == "auto"


def test_it_trains_another_network_on_a_folder(photos, tmp_path) -> None:
    overrides = {
        "architecture": {"name": "timm/test_resnet"},
        "dataset": {"name": "folder", "path": str(photos)},
        "weights": "none",
        "device": "cpu",
        "train": {"epochs": 2, "batch_size": 4},
    }
    result = zoo.run(RECIPE, overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    assert result.record.architecture == "timm/test_resnet" and "accuracy" in result.metrics
    assert result.record.samples["val"] >= 2
    with (tmp_path / "run" / "metrics.csv").open(newline="") as stream:
        losses = [float(row["train_loss"]) for row in csv.DictReader(stream)]
    assert len(losses) == 2 and losses[1] < losses[0]
