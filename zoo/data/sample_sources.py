"""Wrappers of `zoo.api.SampleSource`: subsets, names, and errors that name dataset and sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from zoo.api import DatasetSpec, SampleSource
from zoo.errors import PluginError, report_to
from zoo.registry.lookup import Item, faults_named

T = TypeVar("T")


class IndexNames(Sequence[str]):
    """The default names of samples, their indices in the split, without storing a list."""

    def __init__(self, rows: Sequence[int] | np.ndarray) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        found = self._rows[index]
        return [str(each) for each in found] if isinstance(index, slice) else str(found)


class Chosen(SampleSource):
    """A subset of other samples, in any order."""

    def __init__(self, samples: SampleSource, rows: np.ndarray) -> None:
        self._samples, self._rows = samples, rows

    def __len__(self) -> int:
        return len(self._rows)

    def images(self, indices: np.ndarray) -> np.ndarray | Sequence[np.ndarray]:
        return self._samples.images(self._rows[indices])

    def targets(self, indices: np.ndarray) -> np.ndarray | None:
        return self._samples.targets(self._rows[indices])


class Attributed(SampleSource):
    """The samples of a split, whose errors name the dataset and the first sample that fails."""

    def __init__(self, item: Item[DatasetSpec], split: str, samples: SampleSource) -> None:
        self._item, self._split, self._samples = item, split, samples

    def __len__(self) -> int:
        return len(self._samples)

    def images(self, indices: np.ndarray) -> np.ndarray | Sequence[np.ndarray]:
        """Return the images. Raises PluginError if their number, dtype or shape is wrong."""
        found = self._asked(self._samples.images, indices)
        images = [found] if isinstance(found, np.ndarray) else [np.asarray(image)[None] for image in found]
        if any(each.dtype != np.uint8 or each.ndim != 4 for each in images) or sum(map(len, images)) != len(indices):
            raise PluginError(
                f"split '{self._split}': the sample source did not return {len(indices)} images as uint8 (n, C, H, W)",
                where=self._item.canonical,
                fix=report_to(self._item.plugin.distribution),
            )
        return found

    def targets(self, indices: np.ndarray) -> np.ndarray | None:
        return self._asked(self._samples.targets, indices)

    def _asked(self, ask: Callable[[np.ndarray], T], indices: np.ndarray) -> T:
        try:
            return ask(indices)
        except Exception:
            for place in range(len(indices)):
                with faults_named(self._item, f"read (sample {indices[place]} of its split '{self._split}')"):
                    ask(indices[place : place + 1])
            with faults_named(self._item, f"read ({len(indices)} samples at once of its split '{self._split}')"):
                raise
