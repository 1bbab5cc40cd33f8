"""Random numbers as a function of (seed, epoch, sample index), independent of workers, batch size and device.

The generator is SplitMix64's finaliser (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA
2014) applied to the counter, vectorised over samples. It does not use the global generators of torch and numpy.
"""

from __future__ import annotations

import random

import numpy as np

ORDER, VALIDATION, TEST, AUGMENT = 1, 2, 3, 16
"""Streams, so that two uses of the same (seed, epoch, index) get different numbers. The steps of an augmentation have
the streams from `AUGMENT`."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hash64(seed: int, stream: int, epoch: int, indices: np.ndarray) -> np.ndarray:
    """uint64 (n,), one for each of ``indices``."""
    key = np.uint64(0)
    for word in (seed, stream, epoch):
        key = _mix(np.array([key ^ np.uint64(word % 2**64)]))[0]
    return _mix(indices.astype(np.uint64) ^ key)


def uniforms(seed: int, stream: int, epoch: int, indices: np.ndarray, count: int) -> np.ndarray:
    """float32 (n, count) in [0, 1), a row for each of ``indices``: SplitMix64 run on from the sample's hash."""
    start = hash64(seed, stream, epoch, indices)[:, None]
    with np.errstate(over="ignore"):
        values = _mix(start + np.arange(count, dtype=np.uint64) * GOLDEN)
    return np.asarray((values >> np.uint64(40)).astype(np.float32) * np.float32(2**-24))


def order(seed: int, epoch: int, count: int, stream: int = ORDER) -> np.ndarray:
    """A permutation of ``count`` samples, int64: their indices sorted by their hashes."""
    return np.argsort(hash64(seed, stream, epoch, np.arange(count)), kind="stable")


def seed_everything(seed: int) -> None:
    """Seed the generators that initial weights and dropout draw from."""
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _mix(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = values + GOLDEN
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(values ^ (values >> np.uint64(31)))
