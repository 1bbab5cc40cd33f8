"""Near-duplicates are not in train and test at once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image
from zoo_datasets.folder import open_folder
from zoo_datasets.folder_layout import Sample
from zoo_datasets.near_duplicates import BITS, difference_hash, keep_together, near_pairs, note_between
from zoo_datasets.options import FolderOptions

from zoo.config.run_config import DatasetSection
from zoo.data.data_folder import Store
from zoo.data.splits import load_parts
from zoo.registry.lookup import registry


def picture(file: Path, seed: int, side: int = 90, quality: int = 95) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(file, quality=quality)
    return file


def test_a_copy_of_another_size_and_quality_has_almost_the_same_hash(tmp_path: Path) -> None:
    first = difference_hash(picture(tmp_path / "a.jpg", 1))
    copy = difference_hash(picture(tmp_path / "b.jpg", 1, side=170, quality=50))
    other = difference_hash(picture(tmp_path / "c.jpg", 2))
    assert first is not None and copy is not None and other is not None
    assert bin(first ^ copy).count("1") <= 4 < bin(first ^ other).count("1")


def test_a_flat_or_broken_image_has_no_hash(tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), "white").save(tmp_path / "white.png")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    assert difference_hash(tmp_path / "white.png") is None
    assert difference_hash(tmp_path / "broken.jpg") is None


def test_copies_in_val_move_to_train_within_their_class(tmp_path: Path) -> None:
    notes: list[str] = []
    store = SimpleNamespace(note=notes.append)
    train = [Sample(picture(tmp_path / "1.jpg", 1), "x"), Sample(picture(tmp_path / "2.jpg", 2), "y")]
    val = [
        Sample(picture(tmp_path / "copy.jpg", 1, side=140), "x"),
        Sample(picture(tmp_path / "3.jpg", 3), "x"),
        Sample(picture(tmp_path / "4.jpg", 4), "y"),
        Sample(picture(tmp_path / "other_class.jpg", 1, side=120), "y"),
    ]
    found, groups = keep_together({"train": train, "val": val}, store)  # type: ignore[arg-type]
    assert {file.name: group for file, group in groups.items()} == {
        "1.jpg": 0, "2.jpg": 1, "copy.jpg": 0, "3.jpg": 3, "4.jpg": 4, "other_class.jpg": 5,
    }  # fmt: skip
    assert [sample.file.name for sample in found["train"]] == ["1.jpg", "2.jpg", "copy.jpg"]
    assert [sample.file.name for sample in found["val"]] == ["3.jpg", "4.jpg", "other_class.jpg"]
    assert notes == [
        "3 images with a near-duplicate of another class, such as x/1.jpg and y/other_class.jpg: check their classes",
        "1 image moved from test to train: near-duplicates of training images",
    ]


def test_a_class_keeps_an_image_to_evaluate_on(tmp_path: Path) -> None:
    train = [Sample(picture(tmp_path / "1.jpg", 1), "x")]
    val = [Sample(picture(tmp_path / "copy.jpg", 1, side=140), "x")]
    found, _ = keep_together({"train": train, "val": val}, SimpleNamespace(note=print))  # type: ignore[arg-type]
    assert found["val"] == val


def test_pairs_are_those_of_all_comparisons() -> None:
    random = np.random.default_rng(0)
    values = [int(each) for each in random.integers(0, 2**64, 60, np.uint64)]
    for value in values[:30]:  # copies with up to six other bits
        flips = random.choice(64, random.integers(0, 7), replace=False)
        values.append(value ^ sum(1 << int(bit) for bit in flips))
    hashes: list[int | None] = [None, *values, values[0]]
    due = [
        (one, other)
        for one in range(1, len(hashes))
        for other in range(one + 1, len(hashes))
        if bin(hashes[one] ^ hashes[other]).count("1") <= BITS  # type: ignore[operator]
    ]
    assert list(map(tuple, near_pairs(hashes).tolist())) == due and len(due) > 10
    assert near_pairs([None]).shape == near_pairs([]).shape == (0, 2)


def test_near_duplicates_between_the_splits_of_a_folder_are_noted(tmp_path: Path) -> None:
    notes: list[str] = []
    splits = {
        "train": [Sample(picture(tmp_path / "1.jpg", 1), "x"), Sample(picture(tmp_path / "2.jpg", 2), "y")],
        "val": [Sample(picture(tmp_path / "copy.jpg", 1, side=140), "x"), Sample(picture(tmp_path / "3.jpg", 3), "y")],
        "test": [Sample(picture(tmp_path / "4.jpg", 4), "x")],
    }
    note_between(splits, SimpleNamespace(note=notes.append))  # type: ignore[arg-type]
    assert notes == ["1 image of val has a near-duplicate in train, so that the accuracy on it is too high"]


def test_near_duplicates_are_not_divided_by_val_fraction(tmp_path: Path) -> None:
    """Three copies of each of eight images a class, of which a third of the originals' number is set aside."""
    for label in ("x", "y"):
        (tmp_path / label).mkdir()
        for seed in range(8):
            for copy, side in enumerate((90, 120, 150)):
                picture(tmp_path / label / f"{seed}_{copy}.jpg", seed + 100 * (label == "y"), side)
    item = registry().dataset("folder")

    def divided(near_duplicates: str) -> tuple[set[str], set[str]]:
        options = FolderOptions.model_validate({"path": str(tmp_path), "near_duplicates": near_duplicates})
        section = DatasetSection.model_validate({"name": "datasets/folder", "val_fraction": 0.3})
        opened = open_folder(options, Store())
        assert opened.target is not None
        parts = load_parts(item, opened, opened.target, section, None, 0)
        train, val = ({name.rpartition("_")[0] for name in parts[part].names or ()} for part in ("train", "val"))
        return train, val

    train, val = divided("together")
    assert len(val) >= 2 and not train & val
    train, val = divided("any")
    assert train & val
