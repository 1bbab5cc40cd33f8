"""scikit-learn's digits: 1,797 images of 8×8 pixels with values 0–16, brought to 0–255 as round(value · 255 / 16).

They come without a division, so one is fixed here for good: shuffled by ``RandomState(0)`` (a stream that numpy never
changes), sorted by class, and every fifth goes to the test split. That is 1,437 to train on and 360 to report, each
class divided alike to within one. The data does not say who wrote which digit, so the same hands are in both parts.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from zoo.api import Dataset, DatasetStore, Options, Part, Split
from zoo.errors import DataError

SAMPLES = 1797
SIDE = 8
LARGEST = 16
REPORT_EVERY = 5


class Digits(Dataset):
    """The implementation of `zoo.api.Dataset`."""

    parts: Mapping[Part, str] = {"train": "train", "test": "test"}

    def load(self, split: str) -> Split:
        images, labels = self._arrays
        rows = self._rows[split]
        return Split(images[rows], labels[rows], [str(row) for row in rows])

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for split in sorted(self._rows):
            loaded = self.load(split)
            digest.update(np.asarray(loaded.images).tobytes())
            digest.update(np.asarray(loaded.targets, "<i8").tobytes())
        return digest.hexdigest()

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (1797, 1, 8, 8) and int64 (1797,), in scikit-learn's order."""
        values, labels = read_table()
        images = np.rint(values * (255 / LARGEST)).astype(np.uint8)
        return images.reshape(-1, 1, SIDE, SIDE), labels.astype(np.int64)

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        _, labels = self._arrays
        shuffled = np.random.RandomState(0).permutation(len(labels))
        by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
        report = np.sort(by_class[::REPORT_EVERY])
        return {"train": np.setdiff1d(np.arange(len(labels)), report), "test": report}


def open_digits(_options: Options, _store: DatasetStore) -> Digits:
    return Digits()


def read_table() -> tuple[np.ndarray, np.ndarray]:
    """Values 0–16 (1797, 64) and labels (1797,).

    Read from scikit-learn's own table, since importing scikit-learn takes a second or more.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise DataError("the digits come with scikit-learn, which is not installed", fix="pip install scikit-learn")
    table = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    if not table.is_file():  # its public function knows where a later release keeps them
        from sklearn.datasets import load_digits

        values, labels = load_digits(return_X_y=True)
        return values, labels
    with gzip.open(table, "rt", encoding="ascii") as stream:
        numbers = np.loadtxt(stream, delimiter=",", dtype=np.float64)
    if numbers.shape != (SAMPLES, SIDE * SIDE + 1):
        raise DataError(
            f"expected a table of {SAMPLES} × {SIDE * SIDE + 1} numbers, not {numbers.shape}",
            where=table,
            fix="reinstall scikit-learn",
        )
    return numbers[:, :-1], numbers[:, -1]
