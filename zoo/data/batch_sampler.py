"""Division of samples into batches, and of batches into micro-batches.

Batch norm cannot be trained on one sample, so a last batch of one sample is merged with the batch before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch

from zoo.api import Batch


def one_left_over(samples: int, size: int) -> bool:
    """Return whether batches of ``size`` would leave a last batch of one sample."""
    return 1 < size < samples and samples % size == 1


def sizes(samples: int, size: int) -> list[int]:
    """Return the batch sizes for ``samples`` samples, in order."""
    found = [min(size, samples - start) for start in range(0, samples, size)]
    return [*found[:-2], size + 1] if one_left_over(samples, size) else found


def last_joined(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    """Yield ``batches`` with the last two merged, because the last one has a single sample."""
    yield from islice(batches, count - 1)
    last = list(batches)
    targets = [batch.targets for batch in last if batch.targets is not None]
    answers = [batch.teacher for batch in last if batch.teacher is not None]
    yield Batch(
        torch.cat([batch.inputs for batch in last]),
        torch.cat(targets) if targets else None,
        torch.cat([batch.indices for batch in last]),
        {name: torch.cat([each[name] for each in answers]) for name in answers[0]} if answers else None,
    )
