"""Which real images an export is verified on where the model's own data is away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.data.preprocessing import Preprocessing
from zoo.exporting.export import Bundle
from zoo.exporting.samples import real_samples
from zoo.registry.lookup import registry
from zoo.runs.load_model import LoadedModel
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir

MakeAway = Callable[..., LoadedModel]
IMAGES = {"00-a.png": 0, "01-b.png": 128, "02-c.png": 255}


@pytest.fixture
def make_away(make_loaded: Callable[..., LoadedModel], tmp_path: Path) -> MakeAway:
    """The model of a run on a folder of images that is no longer there; the run kept three of them."""

    def make(**changes: Any) -> LoadedModel:
        loaded = make_loaded(classes=changes.pop("classes", tuple("abcdefghij")))
        run = RunDir(tmp_path / "run")
        run.samples.mkdir(parents=True)
        for name, shade in IMAGES.items():
            Image.new("L", (9, 12), shade).save(run.samples / name)
        config = resolve(registry(), "cnn", overrides={"dataset": {"name": f"folder:{tmp_path / 'away'}"}}).config
        return replace(loaded, config=config, run=run, **changes)

    return make


def test_the_samples_that_the_run_kept_are_taken_and_the_export_says_so(
    run_export: Callable[..., Bundle], make_away: MakeAway, tmp_path: Path
) -> None:
    bundle = run_export(make_away())
    real = bundle.verification["real"]
    assert (real["dataset"], real["part"], real["samples"], real["decisions_agree"]) == (
        "datasets/folder",
        "samples",
        3,
        3,
    )
    assert "accuracy" not in real  # of three images it says nothing
    assert bundle.verification["predict"]["real"] == 3
    said = "verified on the 3 images in the run's samples/"
    assert [note for note in bundle.notes if note.endswith(said)] == [real["why"]]
    assert str(tmp_path) not in (bundle.path / "verify.json").read_text(encoding="utf-8")
    assert said in (bundle.path / "README.md").read_text(encoding="utf-8")


def test_the_kept_samples_are_read_as_the_run_read_its_images(make_away: MakeAway) -> None:
    samples = real_samples(registry(), make_away())
    assert samples.view.images_of(range(3))[:, 0, 0, 0].tolist() == list(IMAGES.values())


@pytest.mark.parametrize("damage", ["no folder", "an empty folder", "a damaged image"])
def test_without_kept_samples_the_closest_embedded_dataset_is_taken(make_away: MakeAway, damage: str) -> None:
    loaded = make_away()
    assert loaded.run is not None
    for file in loaded.run.samples.iterdir():
        file.write_bytes(b"no image") if damage == "a damaged image" else file.unlink()
    if damage == "no folder":
        loaded.run.samples.rmdir()
    samples = real_samples(registry(), loaded)
    assert samples.dataset == "datasets/digits"
    assert samples.why is not None and samples.why.endswith(
        "verified on datasets/digits, the most similar dataset without a download"
    )


def test_an_embedded_dataset_with_options_of_its_own_is_opened_with_their_defaults(make_away: MakeAway) -> None:
    """The closest to small RGB images of no ten classes has a number of digits as an option: it was left out, and a
    TypeError ended the export."""
    rgb = Preprocessing(channels=3, height=8, width=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    loaded = make_away(classes=("a", "b", "c"), preprocessing=rgb, name="rgb")
    assert loaded.run is not None
    for file in loaded.run.samples.iterdir():
        file.unlink()
    samples = real_samples(registry(), loaded)
    assert samples.dataset == "datasets/digits_on_photos"
    assert np.asarray(samples.view.images_of([0])).shape == (1, 8, 8, 3)
