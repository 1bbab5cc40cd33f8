"""Grey images with more than 8 bits: one range of values for a dataset, decided from its training images, kept with the
run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin

import zoo
from zoo.config.run_config import DatasetSection
from zoo.data import dataset_cache, value_range
from zoo.data.data_loader import Data, open_data
from zoo.errors import ConfigError, DataError
from zoo.registry.lookup import registry
from zoo.runs.resolve_config import dataset_section
from zoo.runtime import OutsideLimitError, read_image

VALUES = np.linspace(0, 1, 16).reshape(4, 4)


def save(path: Path, values: np.ndarray, *, white_is_zero: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if white_is_zero:
        tags[262] = 0
    Image.fromarray(values).save(
        path, "TIFF" if path.suffix == ".tif" else "PNG", **({"tiffinfo": tags} if white_is_zero else {})
    )
    return path


def pixels(path: Path, given: tuple[float, float] | None = None) -> np.ndarray:
    return np.asarray(read_image(path, 1, value_range=given))


KINDS: dict[str, tuple[np.ndarray, tuple[float, float] | None, np.ndarray]] = {
    "floats from 0 to 1, to the nearest": (np.float32([[0, 0.5, 1, 0.25]]), (0, 1), np.array([[0, 128, 255, 64]])),
    "floats from 0 to 255": (np.float32([[0, 127.4, 127.5, 255]]), None, np.array([[0, 127, 128, 255]])),
    "floats from 0 to 65535": (np.float32([[0, 32768, 65535, 257]]), (0, 65535), np.array([[0, 128, 255, 1]])),
    "floats of a range of one's own": (
        np.float32([[-1000, 0, 1000, 3000]]),
        (-1000, 3000),
        np.array([[0, 64, 128, 255]]),
    ),
    "32 bits with 0 to 255": (np.int32([[0, 1, 254, 255]]), None, np.array([[0, 1, 254, 255]])),
    "12 of 16 bits, rounded down": (np.uint16([[0, 2047, 4095, 16]]), (0, 4095), np.array([[0, 127, 255, 0]])),
    "16 bits": (np.uint16([[0, 256, 257, 65535]]), None, np.array([[0, 0, 1, 255]])),
    "16 bits, told": (np.uint16([[0, 256, 257, 65535]]), (0, 65535), np.array([[0, 0, 1, 255]])),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_values_become_8_bits(tmp_path: Path, kind: tuple[np.ndarray, tuple[float, float] | None, np.ndarray]) -> None:
    values, given, due = kind
    assert pixels(save(tmp_path / "a.tif", values), given).tolist() == due.tolist()


def test_every_16_bit_value_is_divided_by_257(tmp_path: Path) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for given in (None, (0, 65535)):
        assert np.array_equal(pixels(save(tmp_path / "a.png", values), given), values // 257)


def test_an_image_whose_least_value_is_white_is_inverted_back(tmp_path: Path) -> None:
    values = (VALUES * 65535).round().astype(np.uint16)
    assert np.array_equal(pixels(save(tmp_path / "a.tif", values, white_is_zero=True)), 255 - values // 257)
    twelve = (VALUES * 4095).round().astype(np.uint16)
    assert pixels(save(tmp_path / "b.tif", twelve, white_is_zero=True), (0, 4095))[0, 0] == 255


OUTSIDE = {
    "float": (np.float32([[0, 1.5]]), (0, 1), "has float values from 0 to 1.5, outside the range 0 to 1"),
    "float, negative": (
        np.float32([[-0.1, 0.5]]),
        (0, 1),
        "has float values from -0.1 to 0.5, outside the range 0 to 1",
    ),
    "float, never told": (np.float32([[0, 300]]), None, "has float values from 0 to 300, outside the range 0 to 255"),
    "float from 0 to 1, never told": (np.float32([[0, 1]]), None, "no value_range says whether 1 is white"),
    "32 bits": (np.int32([[0, 256]]), None, "has 32-bit values from 0 to 256, outside the range 0 to 255"),
    "16 bits": (np.uint16([[0, 5000]]), (0, 4095), "has 16-bit values from 0 to 5000, outside the range 0 to 4095"),
}


@pytest.mark.parametrize("outside", OUTSIDE.values(), ids=OUTSIDE)
def test_values_outside_the_range_are_refused(
    tmp_path: Path, outside: tuple[np.ndarray, tuple[float, float] | None, str]
) -> None:
    values, given, words = outside
    with pytest.raises(OutsideLimitError, match=words) as caught:
        pixels(save(tmp_path / "a.tif", values), given)
    assert caught.value.option == "value_range"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    for given in (None, (0.0, 1.0)):
        with pytest.raises(ValueError, match="infinite or no numbers"):
            pixels(save(tmp_path / "a.tif", np.float32([[0, value]])), given)


# ------------------------------------------------------------------------------------------------------ a whole dataset


def lay(root: Path, scale: float, dtype: type, suffix: str = ".tif", **options: Any) -> Path:
    for index in range(6):
        for number, name in enumerate(("dark", "light")):
            values = ((VALUES * 0.4 + 0.6 * number) * scale * (1 - index / 100)).astype(dtype)
            save(root / name / f"{index}{suffix}", values, **options)
    return root


def opened(root: Path, parts: tuple[str, ...] | None = None, **options: Any) -> Data:
    section = dataset_section(registry(), f"folder:{root}", resize=4, channels=1, **options)
    return open_data(registry(), section, torch.device("cpu"), parts=parts)


DATASETS: dict[str, tuple[float, type, tuple[float, float]]] = {
    "0 to 1": (1, np.float32, (0, 1)),
    "0 to 255 as floats": (255, np.float32, (0, 255)),
    "0 to 65535 as floats": (65535, np.float32, (0, 65535)),
    "0 to 255 in 32 bits": (255, np.int32, (0, 255)),
    "0 to 4095 in 16 bits": (4095, np.uint16, (0, 4095)),
    "16 bits": (60000, np.uint16, (0, 65535)),
}


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_the_range_is_decided_once_from_all_training_images_and_told(
    tmp_path: Path, dataset: tuple[float, type, tuple[float, float]]
) -> None:
    scale, dtype, due = dataset
    data = opened(lay(tmp_path / "in", scale, dtype))
    assert data.preprocessing.value_range == due
    (told,) = (note for note in data.notes if "value_range" in note)
    values = f"their values from 0 to {due[1]:g} become 0 to 255"
    assert told == f"10 grayscale images have more than 8 bits: {values} (dataset.value_range)"
    dark, light = (data.parts["test"].images_of([row]).mean() for row in range(2))
    assert dark < 80 < 150 < light


def test_the_same_is_decided_where_only_another_part_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = lay(tmp_path / "in", 4095, np.uint16)
    assert opened(root, ("test",)).preprocessing.value_range == (0, 4095)
    monkeypatch.setattr(value_range, "measure_extremes", lambda *_: pytest.fail("it was measured again"))
    data = opened(root)
    assert data.preprocessing.value_range == (0, 4095)
    assert any("value_range" in note for note in data.notes)


def test_images_of_8_bits_have_no_range_and_are_not_decoded_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lay(tmp_path / "in", 255, np.uint8, ".png")
    section = DatasetSection(name="folder")
    files = sorted(root.rglob("*.png"))
    digest = {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("it was decoded"))
    assert value_range.find_value_range(files, digest.__getitem__, "toy", section.max_pixels) == (None, None)
    assert json.loads((dataset_cache.cache_root() / dataset_cache.EXTREMES).read_text())["extremes"]
    monkeypatch.undo()


def test_a_range_of_one_s_own_is_taken(tmp_path: Path) -> None:
    data = opened(lay(tmp_path / "in", 1000, np.int32), value_range=[-1000, 3000])
    assert data.preprocessing.value_range == (-1000, 3000)
    assert not [note for note in data.notes if "value_range" in note]
    with pytest.raises(ConfigError, match="lower value must be below"):
        opened(tmp_path / "in", value_range=[1, 1])


def test_what_no_rule_fits_is_refused_with_the_option_to_set(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"0 to 99\d+, fit none of the usual ranges .*dataset\.value_range=\[LOW,HIGH\]"
    ):
        opened(lay(tmp_path / "large", 100_000, np.int32))
    mixed = lay(tmp_path / "mixed", 1, np.float32)
    save(mixed / "dark" / "9.tif", (VALUES * 4000).astype(np.uint16))
    save(mixed / "light" / "9.tif", (VALUES * 4000).astype(np.uint16))
    with pytest.raises(DataError, match=r"float values 0 to 1, but integer values 0 to 4095"):
        opened(mixed, test_fraction=0.1, split_seed=3)


def test_an_image_outside_the_range_is_named_where_it_is_evaluated_or_left_out(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for split in ("train", "val"):
        lay(root / split, 1, np.float32)
    bad = save(root / "val" / "dark" / "9.tif", np.float32([[0, 2]]))
    with pytest.raises(DataError, match=r"has float values from 0 to 2, outside the range 0 to 1 .*9\.tif") as caught:
        opened(root)
    assert str(bad) in str(caught.value) and "dataset.value_range" in str(caught.value)
    bad.unlink()
    save(root / "train" / "dark" / "9.tif", np.float32([[0, 2]]))
    left_out = opened(root, value_range=[0, 1], skip_bad_images=True)
    assert [Path(entry["file"]).name for entry in left_out.quarantine] == ["9.tif"]
    assert dataset_cache.faults() == {}  # another range would take it
    assert opened(root, value_range=[0, 2], skip_bad_images=True).quarantine == ()


def test_a_run_and_its_bundle_predict_with_the_range_of_the_training_images(tmp_path: Path) -> None:
    from zoo.exporting.export import export
    from zoo.workflows.run import run

    root = lay(tmp_path / "in", 1, np.float32)
    done = run(
        "lenet",
        overrides={"dataset": {"name": "folder", "path": str(root)}, "train": {"epochs": 1}, "device": "cpu"},
        out=tmp_path / "run",
    )
    assert done.record.preprocessing.value_range == (0, 1)
    bundle = export(str(tmp_path / "run"), out=tmp_path / "bundle")
    described = json.loads((bundle.path / "bundle.json").read_text(encoding="utf-8"))["description"]["input"]
    assert described["value_range"] == [0, 1] and described["max_pixels"] == 100_000_000
    image, beyond = root / "light" / "0.tif", save(tmp_path / "beyond.tif", np.float32([[0, 1.5]]))
    for target in (tmp_path / "run", bundle.path):
        assert zoo.predict(target, [image]).rows[0][1] == pytest.approx(
            zoo.predict(tmp_path / "run", [image]).rows[0][1], abs=1e-5
        )
        with pytest.raises(DataError, match=r"beyond\.tif: has float values from 0 to 1\.5, outside the range 0 to 1"):
            zoo.predict(target, [beyond])
