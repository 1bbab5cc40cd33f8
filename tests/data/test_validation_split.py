"""The validation split is drawn by a stream of its own: it is not the beginning of what the first epoch takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from zoo.api import Classes, Split
from zoo.config.run_config import DatasetSection
from zoo.data.splits import load_parts
from zoo.errors import PluginError
from zoo.registry.lookup import registry
from zoo.support import counter_random

COUNT = 1000


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_which_samples_are_set_aside_says_nothing_of_the_order_of_training(seed: int) -> None:
    """All of one class, half set aside: independent draws share half of 500 with the first 500 of an order, 250 ± 5 ·
    11."""
    split = Split(np.zeros((COUNT, 1, 8, 8), np.uint8), np.zeros(COUNT, np.int64))
    dataset: Any = SimpleNamespace(parts={"train": "train"}, load=lambda _name: split)
    section = DatasetSection.model_validate({"name": "datasets/digits", "val_fraction": 0.5})
    item = registry().dataset("digits")
    parts = load_parts(item, dataset, Classes(names=item.spec.classes), section, None, seed)
    aside = {int(name) for name in parts["val"].names or ()}
    assert len(aside) == COUNT // 2
    first = {int(index) for index in counter_random.order(seed, 0, COUNT)[: COUNT // 2]}
    assert 195 < len(aside & first) < 305


def aside(split: Split, fraction: float) -> np.ndarray:
    dataset: Any = SimpleNamespace(parts={"train": "train"}, load=lambda _name: split)
    section = DatasetSection.model_validate({"name": "datasets/digits", "val_fraction": fraction})
    item = registry().dataset("digits")
    parts = load_parts(item, dataset, Classes(names=item.spec.classes), section, None, 3)
    rows = np.array([int(name) for name in parts["val"].names or ()])
    assert len(rows) + len(parts["train"].names or ()) == len(split.images)
    return rows


def test_groups_are_not_divided_and_classes_keep_their_fraction() -> None:
    """Groups of 1 to 8 samples, some of two classes."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), random.integers(1, 9, 300)) * 7
    random.shuffle(groups)
    labels = np.where(random.random(len(groups)) < 0.1, random.integers(0, 3, len(groups)), groups % 3)
    split = Split(np.zeros((len(groups), 1, 8, 8), np.uint8), labels, groups=groups)
    rows = aside(split, 0.25)
    assert not set(groups[rows]) & set(np.delete(groups, rows))
    for label in range(3):
        due = 0.25 * (labels == label).sum()
        assert due - 8 < (labels[rows] == label).sum() <= round(due)


def test_groups_of_one_sample_change_nothing() -> None:
    labels = np.arange(COUNT) % 3
    images = np.zeros((COUNT, 1, 8, 8), np.uint8)
    alone = np.random.default_rng(0).permutation(COUNT)
    assert aside(Split(images, labels, groups=alone), 0.2).tolist() == aside(Split(images, labels), 0.2).tolist()


@pytest.mark.parametrize("groups", [np.zeros(COUNT - 1, np.int64), np.zeros(COUNT)])
def test_groups_that_are_not_an_integer_for_each_sample_are_refused(groups: np.ndarray) -> None:
    with pytest.raises(PluginError, match="an integer for each of 1000 images"):
        aside(Split(np.zeros((COUNT, 1, 8, 8), np.uint8), np.zeros(COUNT, np.int64), groups=groups), 0.2)


def test_no_two_streams_are_one() -> None:
    streams = [counter_random.ORDER, counter_random.VALIDATION, counter_random.AUGMENT]
    drawn = {tuple(counter_random.hash64(0, stream, 0, np.arange(4))) for stream in streams}
    assert len(drawn) == 3
