"""Order as a function of (seed, epoch, index) alone."""

from __future__ import annotations

import random

import numpy as np
import pytest

from zoo.support.counter_random import ORDER, VALIDATION, hash64, order, seed_everything

MASK = 2**64 - 1


def finalise(value: int) -> int:
    """SplitMix64's next output for a state, in Python's own integers."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def test_the_generator_is_splitmix64() -> None:
    assert finalise(1234567) == 6457827717110365317  # the reference implementation's first output for this seed


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_hashes_equal_an_independent_computation(seed: int) -> None:
    def expected(index: int) -> int:
        key = 0
        for word in (seed, ORDER, 3):
            key = finalise(key ^ word)
        return finalise(index ^ key)

    assert hash64(seed, ORDER, 3, np.arange(50)).tolist() == [expected(index) for index in range(50)]


@pytest.mark.parametrize("count", [0, 1, 2, 17, 60_000])
def test_an_order_holds_every_sample_once(count: int) -> None:
    permutation = order(5, 2, count)
    assert permutation.dtype == np.int64
    assert np.array_equal(np.sort(permutation), np.arange(count))


def test_an_order_is_the_same_every_time_and_another_for_each_seed_epoch_and_stream() -> None:
    first = order(0, 0, 1000)
    assert np.array_equal(first, order(0, 0, 1000))
    others = [order(1, 0, 1000), order(0, 1, 1000), order(0, 0, 1000, VALIDATION)]
    for one in others:
        assert np.mean(first == one) < 0.02
    assert not np.array_equal(others[0], others[1])


def test_an_order_is_well_mixed() -> None:
    """Over 400 epochs the mean place of each of 100 samples is near the middle: 49.5 ± 5 standard errors of 1.44."""
    places = np.mean([np.argsort(order(9, epoch, 100)) for epoch in range(400)], axis=0)
    assert np.abs(places - 49.5).max() < 5 * np.sqrt((100**2 - 1) / 12 / 400)


def test_an_order_neither_reads_nor_moves_global_generators() -> None:
    np.random.seed(1)
    random.seed(1)
    before, first = np.random.get_state()[1].copy(), order(0, 0, 100)
    state = random.getstate()
    np.random.seed(2)
    assert np.array_equal(order(0, 0, 100), first)
    np.random.seed(1)
    assert np.array_equal(np.random.get_state()[1], before)
    assert random.getstate() == state


def test_seeding_makes_initial_weights_repeat() -> None:
    import torch

    draws = []
    for seed in (3, 3, 4):
        seed_everything(seed)
        draws.append((torch.rand(5).tolist(), np.random.rand(5).tolist(), random.random()))
    assert draws[0] == draws[1]
    assert all(one != other for one, other in zip(draws[0], draws[2], strict=True))
