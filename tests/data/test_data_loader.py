"""Opening a dataset: its parts, what it gives, its classes, and files that are no images."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pluggy
import pytest
import torch
from PIL import Image

from zoo.api import Dataset, DatasetSpec, Split
from zoo.config.run_config import DatasetSection
from zoo.data.data_loader import Data, open_data
from zoo.data.preprocessing import Preprocessing
from zoo.errors import DataError, PluginError, UsageError
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Registry

CPU = torch.device("cpu")
COLOUR = Preprocessing(channels=3, height=5, width=4, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))


class Toy(Dataset):
    """A dataset whose parts and splits the test sets."""

    fingerprint = "toy"
    parts: Mapping[Any, str] = {"train": "train", "test": "test"}

    def __init__(self, splits: Mapping[str, Any], parts: Mapping[Any, str] | None = None) -> None:
        self.splits = splits
        self.parts = parts or self.parts

    def load(self, split: str) -> Any:
        return self.splits[split]


def noise(count: int, shape: tuple[int, int, int] = (3, 5, 4), classes: int = 3) -> Split:
    generator = np.random.default_rng(count)
    return Split(generator.integers(0, 256, (count, *shape), dtype=np.uint8), generator.integers(0, classes, count))


def open_toy(
    monkeypatch: pytest.MonkeyPatch, toy: Any, *, section: dict[str, Any] | None = None, **options: Any
) -> Data:
    monkeypatch.setattr(sys.modules[__name__], "opened", lambda _options, _store: toy, raising=False)
    spec = DatasetSpec(
        name="toy",
        summary="a toy",
        target=f"{__name__}:opened",
        classes=("a", "b", "c"),
        shape=(3, 5, 4),
        mean=COLOUR.mean,
        std=COLOUR.std,
        licence="CC0",
    )
    registry = Registry(
        [Plugin("toys", "zoo-toys", "1", "zoo_toys", specs={"dataset": [spec]})], pluggy.PluginManager("zoo")
    )
    return open_data(registry, DatasetSection(name="toy", **(section or {})), CPU, **options)


def plain(split: Split, preprocessing: Preprocessing = COLOUR) -> np.ndarray:
    mean, std = (np.array(values, np.float64)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    return (split.images / 255.0 - mean) / std


def test_the_permutation_reaches_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    split = noise(6)
    opened = open_toy(monkeypatch, Toy({"train": split, "test": split}), section={"permute_pixels": 5})
    expected = plain(split).reshape(6, 3, 20)[:, :, np.random.RandomState(5).permutation(20)].reshape(6, 3, 5, 4)
    np.testing.assert_allclose(next(opened.part("test").batches(6)).inputs.numpy(), expected, rtol=0, atol=2e-6)


# ----------------------------------------------------------------------------------------------- parts and val_fraction


def test_parts_can_be_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy({"train": noise(6), "test": noise(4)})
    opened = open_toy(monkeypatch, toy, parts=["test"])
    assert opened.samples == {"test": 4}
    assert (opened.name, opened.classes, opened.fingerprint) == ("toys/toy", ("a", "b", "c"), "toy")
    with pytest.raises(UsageError, match="choose one of: test"):
        opened.part("train")
    with pytest.raises(UsageError, match="has no predict split"):
        open_toy(monkeypatch, toy, parts=["predict"])


def test_holdout_takes_the_same_share_of_every_class_and_no_sample_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    images = np.arange(160, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 5, 4), np.uint8)
    toy = Toy({"train": Split(images, labels), "test": noise(4)})
    opened = open_toy(monkeypatch, toy, section={"val_fraction": 0.1}, seed=7)
    train, select = opened.part("train"), opened.part("val")
    assert np.bincount(select.targets).tolist() == [10, 5, 1]
    assert np.bincount(train.targets).tolist() == [90, 45, 9]
    assert sorted([*map(int, train.names), *map(int, select.names)]) == list(range(160))
    for part in (train, select):  # an image's value is its index
        rows = [int(name) for name in part.names]
        assert part.images_of(range(len(part)))[:, 0, 0, 0].tolist() == rows
        assert part.targets.tolist() == labels[rows].tolist()
    again = open_toy(monkeypatch, toy, section={"val_fraction": 0.1}, seed=7, parts=["val"])
    assert list(again.part("val").names) == list(select.names)
    other = open_toy(monkeypatch, toy, section={"val_fraction": 0.1}, seed=8, parts=["val"])
    assert list(other.part("val").names) != list(select.names)


@pytest.mark.parametrize("fraction", [0.01, 0.999])
def test_a_holdout_that_leaves_a_part_empty_is_refused(monkeypatch: pytest.MonkeyPatch, fraction: float) -> None:
    with pytest.raises(UsageError, match="leaves a split empty"):
        open_toy(monkeypatch, Toy({"train": noise(6), "test": noise(4)}), section={"val_fraction": fraction})


def test_a_holdout_beside_a_select_part_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy({"train": noise(6), "val": noise(4)}, {"train": "train", "val": "val"})
    with pytest.raises(UsageError, match="validation split of its own"):
        open_toy(monkeypatch, toy, section={"val_fraction": 0.2})


GOOD = noise(4)
BAD = {
    "no Split": ((GOOD.images, GOOD.targets), "must be a zoo.api.Split"),
    "floats": (Split(GOOD.images / 255, GOOD.targets), "uint8"),
    "no channels": (Split(GOOD.images[:, 0], GOOD.targets), "uint8"),
    "zero images": (Split(GOOD.images[:0], GOOD.targets[:0]), "is empty"),
    "too few labels": (Split(GOOD.images, GOOD.targets[:3]), "4 images, but 3 labels"),
    "too few names": (Split(GOOD.images, GOOD.targets, ["one"]), "4 images, but 1 names"),
    "label too large": (Split(GOOD.images, np.array([0, 1, 2, 3])), "label 3, outside 0…2"),
    "negative label": (Split(GOOD.images, np.array([0, 1, -1, 2])), "label -1, outside 0…2"),
    "fractional labels": (Split(GOOD.images, np.array([0.0, 1.0, 0.5, 2.0])), "must be integers"),
    "rows of different lengths": (Split([[1, 2], [3]], GOOD.targets), "are not an array"),
    "labels of different lengths": (Split(GOOD.images, [[1], [1, 2]]), "are not an array"),
    "no images": (Split(None, None), "must be uint8"),
    "objects": (Split(np.array([{}, {}], dtype=object), None), "must be uint8"),
    "one-hot labels": (Split(GOOD.images, np.eye(4, 3, dtype=np.int64)), "must be integers"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_a_dataset_gives_is_checked(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    split, words = BAD[fault]
    of_the_data = words.startswith(("is empty", "label "))
    with pytest.raises(DataError if of_the_data else PluginError) as caught:
        open_toy(monkeypatch, Toy({"train": GOOD, "test": split}))
    assert words in str(caught.value)
    assert "'test'" in str(caught.value)
    assert "toys/toy" in str(caught.value)


def test_missing_files_name_the_embedded_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.registry.lookup import registry

    with pytest.raises(DataError, match="--data digits"):
        open_data(registry(), DatasetSection(name="mnist"), CPU)


@pytest.mark.realdata
def test_mnist_reaches_the_device_normalised() -> None:
    from zoo.registry.lookup import registry

    opened = open_data(registry(), DatasetSection(name="mnist"), CPU)
    assert opened.samples == {"train": 60_000, "test": 10_000}
    total = torch.cat([batch.inputs for batch in opened.part("train").batches(1000)]).double()
    assert abs(total.mean().item()) < 1e-3
    assert abs(total.std().item() - 1) < 1e-3


# ----------------------------------------------------------------------------------------------- classes, and bad files


def test_the_images_of_some_classes_are_kept_in_their_order(monkeypatch) -> None:
    toy = Toy({"train": noise(40), "test": noise(30)})
    data = open_toy(monkeypatch, toy, section={"classes": ["c", "a"]})
    assert data.classes == ("c", "a")
    for part, split in (("train", "train"), ("test", "test")):
        whole, kept = toy.splits[split], data.part(part)
        rows = np.flatnonzero(whole.targets != 1)
        assert np.array_equal(kept.targets, np.where(whole.targets[rows] == 2, 0, 1))
        assert np.array_equal(kept.images_of(range(len(kept))), whole.images[rows].transpose(0, 2, 3, 1))
        assert list(kept.names) == [str(row) for row in rows]


@pytest.mark.parametrize(
    ("classes", "words"),
    [(["a", "d"], "has no class 'd'"), (["a", "a"], "given twice"), (["Aa", "b"], "did you mean a")],
)
def test_classes_that_make_no_sense_are_told(monkeypatch, classes, words) -> None:
    with pytest.raises(UsageError, match=words):
        open_toy(monkeypatch, Toy({"train": noise(9), "test": noise(9)}), section={"classes": classes})


def test_a_split_without_any_of_the_classes_is_told(monkeypatch) -> None:
    few = Split(noise(4).images, np.zeros(4, np.int64))
    with pytest.raises(DataError, match="split 'test' has no image of the classes b, c"):
        open_toy(monkeypatch, Toy({"train": noise(30), "test": few}), section={"classes": ["b", "c"]})


def test_numbers_will_do_for_the_names_of_digits() -> None:
    assert DatasetSection(name="digits", classes=[5, 6]).classes == ["5", "6"]


@pytest.fixture
def files(tmp_path):
    """Twelve images in files, of which 3 is cut off and 7 is text."""
    made = []
    for index in range(12):
        made.append(tmp_path / f"{index:02d}.png")
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (5, 4, 3), dtype=np.uint8)).save(made[-1])
    made[3].write_bytes(made[3].read_bytes()[:60])
    made[7].write_text("not an image")
    return made


def in_files(files, rows):
    return Split([files[row] for row in rows], np.arange(len(rows)) % 3, [files[row].name for row in rows])


def test_bad_training_images_are_left_out_where_asked_and_named(monkeypatch, files) -> None:
    toy = Toy({"train": in_files(files, range(9)), "test": in_files(files, [9, 10, 11])})
    with pytest.raises(DataError, match=r"03\.png.*--skip-bad-images"):
        open_toy(monkeypatch, toy)
    data = open_toy(monkeypatch, toy, section={"skip_bad_images": True})
    train = data.part("train")
    assert list(train.names) == [f"{row:02d}.png" for row in range(9) if row not in (3, 7)]
    assert train.targets.tolist() == [row % 3 for row in range(9) if row not in (3, 7)]
    assert np.array_equal(train.images_of([3])[0], np.asarray(Image.open(files[4])))
    assert [(each["part"], each["sample"]) for each in data.quarantine] == [("train", "03.png"), ("train", "07.png")]
    assert "is not an image" in data.quarantine[1]["reason"] and data.quarantine[1]["file"] == str(files[7])
    assert "2 training images that cannot be read are skipped; see quarantine.json" in data.notes


def test_what_is_bad_is_remembered_by_content(monkeypatch, files) -> None:
    toy = Toy({"train": in_files(files, range(9)), "test": in_files(files, [9, 10, 11])})
    open_toy(monkeypatch, toy, section={"skip_bad_images": True})
    from zoo.data import decoding

    monkeypatch.setattr(decoding, "decode_into", None)  # nothing is decoded again
    assert len(open_toy(monkeypatch, toy, section={"skip_bad_images": True}).quarantine) == 2


@pytest.mark.parametrize("part", ["test", "val"])
def test_what_is_judged_by_is_never_left_out(monkeypatch, files, part) -> None:
    parts = {"train": "train", "test": "test", "val": "val"}
    good, bad = in_files(files, [9, 10, 11]), in_files(files, [6, 7, 8])
    toy = Toy(
        {
            "train": in_files(files, range(3)),
            "test": bad if part == "test" else good,
            "val": bad if part == "val" else good,
        },
        parts,
    )
    with pytest.raises(DataError, match=r"07\.png"):
        open_toy(monkeypatch, toy, section={"skip_bad_images": True})


def test_a_class_of_which_nothing_can_be_read_is_told(monkeypatch, files) -> None:
    toy = Toy(
        {"train": Split([files[0], files[3], files[7]], np.array([0, 1, 1])), "test": in_files(files, [9, 10, 11])}
    )
    with pytest.raises(DataError, match="no image of a class of the train split can be read"):
        open_toy(monkeypatch, toy, section={"skip_bad_images": True})


def test_images_that_are_held_out_are_the_train_splits(monkeypatch, files) -> None:
    two = Split(in_files(files, range(10)).images, np.arange(10) % 2)
    data = open_toy(
        monkeypatch,
        Toy({"train": two, "test": in_files(files, [9, 10, 11])}),
        section={"skip_bad_images": True, "val_fraction": 0.4},
    )
    assert len(data.quarantine) == 2 and len(data.part("train")) + len(data.part("val")) == 8
