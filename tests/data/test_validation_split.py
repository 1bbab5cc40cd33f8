"""The validation split is drawn by a stream of its own: it is not the beginning of what the first epoch takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from zoo.api import Classes, Split
from zoo.config.run_config import DatasetSection
from zoo.data.splits import load_parts
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


def test_no_two_streams_are_one() -> None:
    streams = [counter_random.ORDER, counter_random.VALIDATION, counter_random.AUGMENT]
    drawn = {tuple(counter_random.hash64(0, stream, 0, np.arange(4))) for stream in streams}
    assert len(drawn) == 3
