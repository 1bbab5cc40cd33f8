"""95 % intervals of metrics over the samples of a split: Wilson's for shares, the bootstrap for others.

The bootstrap draws as many samples with replacement, 1,000 times, and takes the 2.5th and 97.5th percentile of the
metric (B. Efron: Bootstrap methods: another look at the jackknife, 1979).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

Z = 1.959963984540054
"""The 97.5th percentile of the normal distribution."""
RESAMPLES, CHUNK = 1000, 1 << 22
"""The number of bootstrap samples, and the number of counts that are drawn at once."""


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of ``count`` (E. Wilson: Probable inference, the law of succession, and
    statistical inference, 1927)."""
    centre, root = share + Z**2 / (2 * count), math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    low, high = ((centre + sign * Z * root) / (1 + Z**2 / count) for sign in (-1, 1))
    return max(0.0, low) if share > 0 else 0.0, min(1.0, high) if share < 1 else 1.0


def bootstrap(samples: int, metric: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """Return the 95 % interval of a metric of ``samples`` samples.

    ``metric`` returns the metrics (B,) for counts int64 (B, N), which say how often each sample is in each bootstrap
    sample. The draws are the same each time.
    """
    found = np.concatenate([metric(counts) for counts in draws(samples)])
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def draws(samples: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    size = max(1, CHUNK // samples)
    for start in range(0, RESAMPLES, size):
        yield random.multinomial(samples, np.full(samples, 1 / samples), min(size, RESAMPLES - start))


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the bootstrap interval of the mean of float64 (N,)."""
    return bootstrap(len(values), lambda counts: counts @ values / len(values))
