"""How samples are cut into batches, and batches into micro-batches: by a size, and none of a single sample is left
over.

Batch norm cannot be trained on one sample, so a last batch of one joins the batch before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch

from zoo.api import Batch


def one_left_over(samples: int, size: int) -> bool:
    """Whether cutting ``samples`` samples by ``size`` would leave a single one at the end, behind others."""
    return 1 < size < samples and samples % size == 1


def sizes(samples: int, size: int) -> list[int]:
    """The sizes of the pieces of ``samples`` samples, in their order."""
    found = [min(size, samples - start) for start in range(0, samples, size)]
    return [*found[:-2], size + 1] if one_left_over(samples, size) else found


def last_joined(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    """``batches``, whose last one has a single sample, with the last two joined."""
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
