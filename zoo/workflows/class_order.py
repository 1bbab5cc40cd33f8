"""Map the labels of a dataset to the classes of a model, by their names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import torch

from zoo.api import Batch, PartView
from zoo.data.splits import nfc
from zoo.errors import UsageError


class Reordered:
    """A split with its labels mapped to another order of classes. ``table``: int64 (K,), the new label by the old."""

    def __init__(self, part: PartView, table: np.ndarray) -> None:
        self._part, self._table = part, table
        self.names, self.images_of = part.names, part.images_of
        self.targets = None if part.targets is None else table[part.targets]

    def targets_of(self, indices: Iterable[int]) -> np.ndarray | None:
        theirs = self._part.targets_of(indices)
        return None if theirs is None else self._table[theirs]

    @property
    def raw_images(self) -> Sequence[np.ndarray]:
        return self._part.raw_images

    def __len__(self) -> int:
        return len(self._part)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        table = torch.from_numpy(self._table)
        for batch in self._part.batches(batch_size):
            yield (
                batch
                if batch.targets is None
                else batch._replace(targets=table.to(batch.targets.device)[batch.targets])
            )


def in_order(part: PartView, dataset: str, theirs: Sequence[str], ours: Sequence[str]) -> PartView:
    """Return a split of a dataset with the labels of the model's classes, which may be more.

    Raises UsageError with the classes that the model lacks.
    """
    if tuple(theirs) == tuple(ours):
        return part
    places = {nfc(name): index for index, name in enumerate(ours)}
    extra = {name for name in theirs if nfc(name) not in places}
    if extra:
        missing = {name for name in ours if nfc(name) not in set(map(nfc, theirs))}
        more = f"; the dataset lacks {few(missing)}" if missing else ""
        raise UsageError(
            f"{dataset} has classes that the model lacks: {few(extra)}{more}",
            fix="choose a dataset whose classes are a subset of the model's",
        )
    return Reordered(part, np.array([places[nfc(name)] for name in theirs]))


def notes_on_classes(theirs: Sequence[str], ours: Sequence[str]) -> tuple[str, ...]:
    if len(theirs) == len(ours):
        return ()
    return (f"the dataset has {len(theirs)} of the model's {len(ours)} classes: {few(theirs)}",)


def few(names: Collection[str], count: int = 5) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(map(repr, sorted(names)[:count])) + more
