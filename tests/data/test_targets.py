"""The targets of each kind: which dtypes, shapes and values are taken, what is refused with which sentence, and how one
of them is described."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo.api import (
    Classes,
    Dataset,
    DatasetSpec,
    Mask,
    MultiLabel,
    NoTarget,
    Opaque,
    Split,
    Target,
    Values,
    target_names,
)
from zoo.config.run_config import DatasetSection
from zoo.contract.targets import class_names
from zoo.data.splits import check_split, chosen_target
from zoo.data.targets import checked_targets, describe_target, described, target_of
from zoo.errors import DataError, PluginError, UsageError
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Item

THREE = ("a", "b", "c")
CLASSES, LABELS = Classes(names=THREE), MultiLabel(names=THREE)
VALUES, MASK = Values(names=("width", "mass"), units=("mm", "kg")), Mask(names=THREE)
DEPTH, POINTS = Opaque(dtype="float32", shape=(None, 4)), Opaque(dtype="int16", shape=())
LAB = Plugin("lab", "zoo-lab", "1.0", "zoo_lab")


def item(*targets: str, **facts: Any) -> Item[DatasetSpec]:
    values = {"name": "toy", "summary": "x", "target": "n:o", "shape": (1, 4, 4), "mean": (0,), "std": (1,)}
    spec = DatasetSpec.model_validate(
        {**values, "licence": "MIT", **({"targets": targets} if targets else {}), **facts}
    )
    return Item("dataset", spec, LAB)


def checked(target: Target, given: Any, count: int | None = None) -> Any:
    return checked_targets(item(target.kind), target, "test", given, len(given) if count is None else count)


# ------------------------------------------------------------------------------------------------- dtype and shape


@pytest.mark.parametrize(
    ("target", "given", "dtype"),
    [
        (CLASSES, [0, 2, 1], "int64"),
        (CLASSES, np.array([0, 2], np.uint8), "int64"),
        (CLASSES, np.array([0, 2], np.int32), "int64"),
        (LABELS, [[0, 1, 1], [0, 0, 0]], "uint8"),
        (LABELS, np.array([[True, False, True]]), "uint8"),
        (LABELS, np.array([[0, 1, 1]], np.int64), "uint8"),
        (VALUES, [[0.5, -1.0], [2, 3]], "float32"),
        (VALUES, np.array([[1, 2]], np.int64), "float32"),
        (VALUES, np.array([[1.5, 2]], np.float16), "float32"),
        (MASK, np.array([[[0, 1], [2, 255]]], np.uint8), "uint8"),
        (MASK, np.array([[[0, 1], [2, 255]]], np.uint16), "uint8"),
        (DEPTH, np.zeros((2, 7, 4), np.float32), "float32"),
        (POINTS, np.array([1, -2, 300], np.int16), "int16"),
    ],
)
def test_targets_of_a_kind_come_out_in_its_dtype_with_their_values(target: Target, given: Any, dtype: str) -> None:
    found = checked(target, given)
    assert found.dtype == dtype and np.array_equal(found, np.asarray(given).astype(dtype))


def test_an_array_of_the_right_dtype_is_not_copied() -> None:
    given = np.arange(3)
    assert checked(CLASSES, given) is given


@pytest.mark.parametrize(
    ("target", "given", "words"),
    [
        (CLASSES, [0.0, 1.0], "the labels of split 'test' must be integers (N,), not float64 (2,)"),
        (CLASSES, [[0], [1]], "the labels of split 'test' must be integers (N,), not int64 (2, 1)"),
        (CLASSES, ["a", "b"], "the labels of split 'test' must be integers (N,), not <U1 (2,)"),
        (CLASSES, [True, False], "the labels of split 'test' must be integers (N,), not bool (2,)"),
        (LABELS, [0, 1, 1], "the labels of split 'test' must be 0 or 1 (N, 3), not int64 (3,)"),
        (LABELS, [[0, 1]], "the labels of split 'test' must be 0 or 1 (N, 3), not int64 (1, 2)"),
        (LABELS, [[0.0, 1.0, 1.0]], "the labels of split 'test' must be 0 or 1 (N, 3), not float64 (1, 3)"),
        (VALUES, [1.0, 2.0], "the targets of split 'test' must be numbers (N, 2), not float64 (2,)"),
        (VALUES, [[1.0]], "the targets of split 'test' must be numbers (N, 2), not float64 (1, 1)"),
        (VALUES, [[1j, 2]], "the targets of split 'test' must be numbers (N, 2), not complex128 (1, 2)"),
        (MASK, [[[0, 1]]], "the masks of split 'test' must be uint8 (N, H, W), not int64 (1, 1, 2)"),
        (
            MASK,
            np.zeros((1, 1, 2, 2), np.uint8),
            "the masks of split 'test' must be uint8 (N, H, W), not uint8 (1, 1, 2, 2)",
        ),
        (
            DEPTH,
            np.zeros((2, 7, 5), np.float32),
            "the targets of split 'test' must be float32 (N, any, 4), not float32 (2, 7, 5)",
        ),
        (
            DEPTH,
            np.zeros((2, 7, 4), np.float64),
            "the targets of split 'test' must be float32 (N, any, 4), not float64 (2, 7, 4)",
        ),
        (POINTS, np.zeros((2, 1), np.int16), "the targets of split 'test' must be int16 (N,), not int16 (2, 1)"),
        (POINTS, np.array([300], np.int32), "the targets of split 'test' must be int16 (N,), not int32 (1,)"),
        (NoTarget(), [0, 1], "split 'test' has targets, but the dataset declares none"),
        (CLASSES, [[0], [1, 2]], "the labels of split 'test' are not an array"),
        (Opaque(dtype="depth", shape=()), [0], "its targets have the dtype 'depth', which numpy does not have"),
        (Opaque(dtype="object", shape=()), [0], "its targets have the dtype 'object', which is not numeric"),
    ],
)
def test_another_dtype_or_shape_is_the_plugins_fault_in_one_line(target: Target, given: Any, words: str) -> None:
    with pytest.raises(PluginError) as caught:
        checked(target, given)
    assert words in str(caught.value) and len(caught.value.lines) == 1
    assert "(lab/toy); fix: report it to the authors of zoo-lab" in str(caught.value)


@pytest.mark.parametrize(
    ("target", "given", "words"),
    [
        (CLASSES, [0, 1], "split 'test' has 3 images, but 2 labels"),
        (LABELS, [[0, 0, 1]], "split 'test' has 3 images, but 1 labels"),
        (VALUES, np.zeros((4, 2)), "split 'test' has 3 images, but 4 targets"),
        (MASK, np.zeros((4, 2, 2), np.uint8), "split 'test' has 3 images, but 4 masks"),
        (MASK, [Path("one.png")], "split 'test' has 3 images, but 1 masks"),
        (POINTS, np.zeros(2, np.int16), "split 'test' has 3 images, but 2 targets"),
    ],
)
def test_there_is_one_target_for_each_image(target: Target, given: Any, words: str) -> None:
    with pytest.raises(PluginError, match=words.replace("(", r"\(")):
        checked(target, given, 3)


# ----------------------------------------------------------------------------------------------------------- range


@pytest.mark.parametrize(
    ("target", "given", "words", "fix"),
    [
        (CLASSES, [0, 3], "split 'test' has the label 3, outside 0…2", "correct the labels of the data"),
        (CLASSES, [-1, 2], "split 'test' has the label -1, outside 0…2", "correct the labels of the data"),
        (LABELS, [[0, 2, 1]], "split 'test' has the value 2, outside 0…1", "correct the labels of the data"),
        (LABELS, [[0, -1, 1]], "split 'test' has the value -1, outside 0…1", "correct the labels of the data"),
        (
            MASK,
            np.array([[[0, 3], [255, 2]]], np.uint8),
            "split 'test' has the value 3, outside 0…2",
            "correct the masks of the data",
        ),
        (
            MASK,
            np.array([[[256]]], np.uint16),
            "split 'test' has the value 256, outside 0…2",
            "correct the masks of the data",
        ),
        (
            Mask(names=THREE, ignore=None),
            np.array([[[255]]], np.uint8),
            "split 'test' has the value 255, outside 0…2",
            "correct the masks of the data",
        ),
        (
            VALUES,
            [[0, 1], [2, np.nan]],
            "split 'test' has the target nan (mass of sample 1), which is not finite as float32",
            "correct the targets of the data",
        ),
        (VALUES, [[np.inf, 1]], "the target inf (width of sample 0)", "correct the targets of the data"),
        (VALUES, [[0, -1e300]], "the target -1e+300 (mass of sample 0)", "correct the targets of the data"),
    ],
)
def test_a_value_out_of_range_is_the_datas_fault_in_one_line(target: Target, given: Any, words: str, fix: str) -> None:
    with pytest.raises(DataError) as caught:
        checked(target, given)
    assert words in str(caught.value) and len(caught.value.lines) == 1
    assert caught.value.fix == fix and caught.value.where == "lab/toy"


def test_the_value_to_ignore_counts_nowhere_and_may_be_all_there_is() -> None:
    assert checked(MASK, np.full((2, 3, 3), 255, np.uint8)).min() == 255
    other = Mask(names=THREE, ignore=7)
    assert checked(other, np.array([[[7, 2]]], np.uint8)).tolist() == [[[7, 2]]]
    with pytest.raises(DataError, match="has the value 255"):
        checked(other, np.array([[[255]]], np.uint8))


def test_opaque_targets_are_carried_whatever_their_values() -> None:
    given = np.full((1, 2, 4), np.nan, np.float32)
    assert checked(DEPTH, given) is given


def test_files_of_masks_stay_files() -> None:
    files = (Path("a.png"), Path("b.png"))
    assert checked(MASK, files) == list(files)
    with pytest.raises(PluginError, match="must be integers"):
        checked(CLASSES, files)


# ------------------------------------------------------------------------------------------- which target a dataset has


class Toy(Dataset):
    """A dataset that says of its targets what the test wants."""

    fingerprint = "toy"
    parts: Mapping[Any, str] = {}
    target: Target | None = None

    def load(self, split: str) -> Split:
        raise NotImplementedError(split)


def of(spec: Item[DatasetSpec], said: Target | None) -> Target:
    dataset = Toy()
    dataset.target = said
    return target_of(spec, dataset)


def test_the_dataset_says_what_its_targets_are_else_its_spec() -> None:
    assert of(item(classes=("x", "y")), None) == Classes(names=("x", "y"))
    assert of(item(classes=("x", "y")), CLASSES) == CLASSES
    assert of(item("none"), None) == NoTarget()
    assert of(item("values", "classes"), VALUES) == VALUES
    assert of(item("values", "none"), NoTarget()) == NoTarget()


@pytest.mark.parametrize(
    ("spec", "said", "words"),
    [
        (item(), None, "neither the dataset nor its spec gives the classes"),
        (item("values"), None, "neither the dataset nor its spec gives the names of its targets"),
        (
            item("values", classes=("x",)),
            None,
            "neither the dataset nor its spec gives the names of its targets",
        ),
        (item(), VALUES, "its targets are values, but its spec has classes"),
        (item("values", "mask"), NoTarget(), "its targets are none, but its spec has values or mask"),
    ],
)
def test_a_target_that_nothing_or_another_kind_is_said_of_is_the_plugins_fault(
    spec: Item[DatasetSpec], said: Target | None, words: str
) -> None:
    with pytest.raises(PluginError, match=words) as caught:
        of(spec, said)
    assert "(lab/toy); fix: report it to the authors of zoo-lab" in str(caught.value)


def test_names_are_those_of_classes_labels_and_values() -> None:
    assert class_names(CLASSES) == THREE and class_names(LABELS) == class_names(VALUES) == class_names(MASK) == ()
    named = [target_names(each) for each in (CLASSES, LABELS, VALUES, MASK, DEPTH, NoTarget())]
    assert named == [THREE, THREE, ("width", "mass"), THREE, (), ()]


@pytest.mark.parametrize("target", [LABELS, VALUES, MASK, DEPTH, NoTarget()])
def test_only_of_classes_some_can_be_chosen(target: Target) -> None:
    section = DatasetSection(name="toy", classes=["a"])
    assert chosen_target(section, CLASSES, "lab/toy") == Classes(names=("a",))
    assert chosen_target(DatasetSection(name="toy"), target, "lab/toy") is target
    with pytest.raises(UsageError) as caught:
        chosen_target(section, target, "lab/toy")
    assert f"dataset.classes needs targets of the kind classes, but lab/toy has {target.kind}" in str(caught.value)


def test_a_split_of_every_kind_is_checked() -> None:
    images = np.zeros((2, 1, 4, 4), np.uint8)
    split = check_split(item("values"), VALUES, "train", Split(images, [[1, 2], [3, 4]], ["x", "y"]))  # type: ignore[arg-type]
    assert split.targets is not None and np.asarray(split.targets).dtype == np.float32
    assert (split.images is images, split.names) == (True, ["x", "y"])
    assert check_split(item("none"), NoTarget(), "predict", Split(images)).targets is None
    with pytest.raises(PluginError, match=r"must be numbers \(N, 2\)"):
        check_split(item("values"), VALUES, "train", Split(images, np.zeros(2)))


# ----------------------------------------------------------------------------------------------------------- in words


@pytest.mark.parametrize(
    ("target", "value", "words"),
    [
        (CLASSES, np.int64(2), "c"),
        (LABELS, np.array([1, 0, 1], np.uint8), "a; c"),
        (LABELS, np.array([0, 0, 0], np.uint8), ""),
        (VALUES, np.array([0.1, 1234567.0], np.float32), "0.1 mm; 1.23457e+06 kg"),
        (Values(names=("x",)), np.array([-2.5], np.float32), "-2.5"),
        (MASK, np.array([[2, 255], [0, 2]], np.uint8), "a; c"),
        (MASK, np.array([[255]], np.uint8), ""),
        (Mask(names=tuple("abcdef")), np.array([[5, 4, 3, 2, 0]], np.uint8), "a; c; d and 2 more"),
        (DEPTH, np.zeros((2, 4), np.float32), ""),
        (NoTarget(), None, ""),
    ],
)
def test_one_target_in_words(target: Target, value: Any, words: str) -> None:
    assert describe_target(target, value) == words


def test_a_column_is_described_by_its_rows_and_none_is_nothing() -> None:
    assert described(CLASSES, np.array([2, 0]), 1) == "a" and described(CLASSES, None, 1) == ""
