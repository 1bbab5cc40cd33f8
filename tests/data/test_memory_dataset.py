"""Arrays, tensors and torch Datasets as a dataset: layouts, targets, splits, and one line for what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from zoo.api import Classes, Mask, MultiLabel, Values
from zoo.data.memory_arrays import as_image, as_images
from zoo.data.memory_dataset import memory_dataset
from zoo.errors import DataError, UsageError

GENERATOR = np.random.RandomState(0)
GREY = GENERATOR.randint(0, 256, (20, 6, 5)).astype(np.uint8)
RGB = GENERATOR.randint(0, 256, (20, 6, 5, 3)).astype(np.uint8)
LABELS = np.arange(20) % 4


def test_layouts_of_the_same_images_are_the_same_images() -> None:
    nchw = RGB.transpose(0, 3, 1, 2)
    for given in (RGB, nchw, torch.from_numpy(RGB), (RGB / 255).astype(np.float32), RGB / 255, nchw / 255):
        np.testing.assert_array_equal(as_images(np.asarray(given), "X"), nchw)
    for given in (GREY, GREY[:, None], GREY[..., None], GREY / 255):
        np.testing.assert_array_equal(as_images(given, "X"), GREY[:, None])
    np.testing.assert_array_equal(as_image(Image.fromarray(RGB[0])), nchw[0])
    np.testing.assert_array_equal(as_image(Image.fromarray(GREY[0])), GREY[:1])


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((4, 64), np.uint8), "images are (N, H, W), (N, C, H, W) or (N, H, W, C) with 1 or 3 channels, not"),
        (np.zeros((4, 8, 8, 4), np.uint8), "not (4, 8, 8, 4)"),
        (np.zeros((4, 1, 8, 3), np.uint8), "could be (N, C, H, W) or (N, H, W, C)"),
        (np.zeros((4, 8, 8), np.int64), "images are uint8 or float, not int64"),
        (np.full((4, 8, 8), 1.5), "float images have values from 0 to 1, not from 1.5 to 1.5"),
        (np.full((4, 8, 8), np.nan), "not from nan to nan"),
    ],
)
def test_images_that_do_not_fit_are_refused_in_one_line(images: np.ndarray, said: str) -> None:
    with pytest.raises(DataError) as refused:
        memory_dataset((images, np.zeros(4, int)))
    assert said in str(refused.value) and "\n" not in str(refused.value) and refused.value.fix


@pytest.mark.parametrize(
    ("y", "target"),
    [
        (LABELS, Classes(names=("0", "1", "2", "3"))),
        (np.array(["b", "a"] * 10), Classes(names=("a", "b"))),
        (["b", "a"] * 10, Classes(names=("a", "b"))),
        (torch.from_numpy(LABELS), Classes(names=("0", "1", "2", "3"))),
        (LABELS / 2, Values(names=("value",))),
        (np.stack([LABELS / 2, LABELS / 3], 1), Values(names=("value 0", "value 1"))),
        (np.eye(4)[LABELS], MultiLabel(names=("0", "1", "2", "3"))),
        (np.eye(4, dtype=bool)[LABELS], MultiLabel(names=("0", "1", "2", "3"))),
        ((GREY > 99).astype(np.int64), Mask(names=("0", "1"))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_targets_are_recognised_by_type_and_shape(y: Any, target: Any) -> None:
    opened = memory_dataset(((GREY, y), (GREY, y)))
    assert opened.target == target
    found = opened.load("test").targets
    assert isinstance(found, np.ndarray) and len(found) == 20
    if isinstance(target, Classes):
        words = [str(each) for each in (y.tolist() if hasattr(y, "tolist") else y)]
        assert [target.names[each] for each in found] == words
    else:
        np.testing.assert_allclose(found.reshape(20, -1), np.asarray(y).reshape(20, -1), rtol=1e-6)


def test_the_task_and_the_caller_settle_what_is_ambiguous() -> None:
    assert memory_dataset((GREY, LABELS), accepts=("values",)).target == Values(names=("value",))
    assert memory_dataset((GREY, LABELS), target="values", names=["age"]).target == Values(names=("age",))
    named = memory_dataset((GREY, LABELS), names=["n", "e", "s", "w"])
    assert named.target == Classes(names=("n", "e", "s", "w"))
    metres = Values(names=("x",), units=("m",))
    assert memory_dataset((GREY, LABELS / 2), target=metres).target == metres


@pytest.mark.parametrize(
    ("y", "settings", "said"),
    [
        (LABELS - 1, {}, "a class is an index from 0, and y has values from -1 to 2"),
        (LABELS * 100_000, {}, "number them from 0"),
        (np.stack([LABELS, LABELS], 1), {}, "is no known kind of target"),
        (np.full(20, np.inf), {}, "infinite or NaN"),
        (LABELS / 2, {"target": "classes"}, "a class is an index from 0"),
        (LABELS / 2, {"target": "classes", "names": "abcd"}, "values that are no classes targets"),
        (np.array(["a", "b"] * 10), {"target": "values"}, "has strings, which are no values targets"),
        (np.array([{}] * 20), {}, "has Python objects"),
        (LABELS[:5], {}, "X has 20 images, but y has 5 targets"),
    ],
)
def test_targets_that_do_not_fit_are_refused_in_one_line(y: Any, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as refused:
        memory_dataset((GREY, y), **settings)
    assert said in str(refused.value) and "\n" not in str(refused.value) and refused.value.fix


def test_an_unknown_kind_of_target_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no kind of target 'boxes'"):
        memory_dataset((GREY, LABELS), target="boxes")  # type: ignore[arg-type]


def test_a_single_split_is_divided_the_same_way_in_every_process() -> None:
    opened = memory_dataset((GREY, LABELS))
    train, test = opened.load("train"), opened.load("test")
    assert (len(train.images), len(test.images)) == (16, 4)
    assert sorted(np.asarray(test.targets)) == [0, 1, 2, 3]  # one of each class
    rows = [int(np.flatnonzero((image[0] == GREY).all((1, 2)))[0]) for image in np.asarray(test.images)]
    assert rows == [0, 13, 14, 19]
    assert opened.fingerprint == memory_dataset((torch.from_numpy(GREY), LABELS.tolist())).fingerprint


def test_splits_are_pairs_in_order_or_by_name() -> None:
    pair, other = (GREY[:8], LABELS[:8]), (GREY[8:], LABELS[8:])
    assert list(memory_dataset((pair, other)).parts) == ["train", "test"]
    assert list(memory_dataset([pair, other, other]).parts) == ["train", "val", "test"]
    assert list(memory_dataset({"test": other, "train": pair}).parts) == ["train", "test"]
    assert memory_dataset((pair, other)).fingerprint != memory_dataset((other, pair)).fingerprint
    for wrong, said in (
        ({"training": pair}, "data has the splits training"),
        ((pair, other, other, other), "data has 4 splits"),
        (7, "data is a int"),
        (((GREY, LABELS, LABELS), other), "a split is a pair"),
        ({"train": GREY}, "a split is a pair"),
    ):
        with pytest.raises((UsageError, DataError), match=said):
            memory_dataset(wrong)
    with pytest.raises(DataError, match="different shapes"):
        memory_dataset((pair, (RGB, LABELS)))


class Photographs(Dataset[Any]):
    """PIL images with labels, as torchvision's datasets give them."""

    def __init__(self, noise: int = 0, sides: int = 5) -> None:
        self.noise, self.sides = noise, sides

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = RGB[index][:, : self.sides if index % 2 else 5]
        noise = GENERATOR.randint(0, 1 + self.noise, image.shape)
        return Image.fromarray((image + noise).astype(np.uint8)), int(LABELS[index])


def test_torch_datasets_are_read_once_and_completely() -> None:
    whole = memory_dataset((RGB, LABELS)).fingerprint
    assert memory_dataset(Photographs()).fingerprint == whole
    tensors = TensorDataset(torch.from_numpy(RGB).permute(0, 3, 1, 2) / 255, torch.from_numpy(LABELS))
    assert memory_dataset((tensors, tensors)).load("test").images.shape == (20, 3, 6, 5)  # type: ignore[union-attr]
    with pytest.raises(DataError, match="the Dataset has random transforms"):
        memory_dataset(Photographs(noise=9))
    with pytest.raises(DataError, match="different shapes, such as"):
        memory_dataset(Photographs(sides=4))
    with pytest.raises(DataError, match="no pair of image and target"):
        memory_dataset(TensorDataset(torch.zeros(4, 1, 6, 6)))


def test_the_spec_has_the_moments_of_the_train_split() -> None:
    opened = memory_dataset(((RGB, LABELS), (RGB[:4], LABELS[:4])))
    spec = opened.spec("data-1", "local:data_1")
    assert spec.shape == (3, 6, 5) and spec.targets == ("classes",) and spec.classes == ("0", "1", "2", "3")
    np.testing.assert_allclose(spec.mean, (RGB / 255).mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(spec.std, (RGB / 255).std((0, 1, 2)), atol=1e-4)
