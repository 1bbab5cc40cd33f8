"""A dataset of images and targets that are passed from Python (see `zoo.data.memory_arrays`)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from zoo.api import Classes, Dataset, DatasetSpec, Mask, MultiLabel, Part, Split, Target, TargetKind, Values
from zoo.data.memory_arrays import Column, column_of, is_dataset
from zoo.errors import DataError, UsageError
from zoo.support import counter_random

PARTS: dict[int, tuple[Part, ...]] = {2: ("train", "test"), 3: ("train", "val", "test")}
"""The splits of a tuple, by its number of pairs."""
TEST_EVERY = 5
"""Of a single pair, every fifth image (of each class) goes to the test split."""
SPLIT_SEED = 0
MOST_CLASSES = 100_000
IGNORED = 255
"""The value of pixels that masks do not label."""
KINDS = ("classes", "multi_label", "values", "mask")
FIX = f"say what y is: target={' or '.join(map(repr, KINDS))}"


class MemoryDataset(Dataset):
    """Arrays as a dataset; every split has uint8 images (N, C, H, W) of one size."""

    def __init__(self, columns: Mapping[Part, Column], target: Target, targets: Mapping[Part, np.ndarray]) -> None:
        self._columns, self._target, self._targets = columns, target, targets
        self.rounded = any(column.rounded for column in columns.values())
        """Whether images were floats, and are rounded to 8 bits."""

    @property
    def target(self) -> Target:
        return self._target

    @property
    def parts(self) -> Mapping[Part, str]:
        return {part: part for part in self._columns}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)"""
        channels, height, width = self._columns["train"].images.shape[1:]
        return channels, height, width

    def load(self, split: str) -> Split:
        part = next(each for each in self._columns if each == split)
        return Split(self._columns[part].images, self._targets[part])

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(self._target.model_dump_json().encode())
        for part, column in self._columns.items():
            for values in (column.images, self._targets[part]):
                digest.update(f"{part} {values.dtype.str} {values.shape}".encode())
                digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()

    def spec(self, name: str, reference: str) -> DatasetSpec:
        """Return a spec, with mean and standard deviation of the train split. ``reference`` refers to its opener."""
        mean, std = _moments(self._columns["train"].images)
        return DatasetSpec(
            name=name,
            summary="Images and targets that were passed from Python",
            target=reference,
            targets=(self._target.kind,),
            classes=self._target.names if isinstance(self._target, Classes) else (),
            shape=self.shape,
            mean=mean,
            std=std,
            licence="not stated",
        )


def memory_dataset(
    data: Any,
    *,
    target: TargetKind | Target | None = None,
    names: Sequence[str] | None = None,
    accepts: Sequence[TargetKind] = (),
) -> MemoryDataset:
    """Return ``data`` as a dataset.

    ``data`` is (train, val, test), (train, test), a mapping of these names, or a single split, of which a fixed fifth
    of each class is the test split. A split is (X, y) or a torch Dataset. The kind of target is ``target``, otherwise
    recognised from y: integers or strings (N,) are classes, floats (N,) or (N, D) are values, zeros and ones (N, K)
    are multi_label, and integers (N, H, W) are masks; ``accepts`` are the kinds that the task takes. ``names`` are the
    names of the classes, labels or values.

    Raises DataError or UsageError for what does not fit.
    """
    columns = {part: column_of(pair, part) for part, pair in _pairs(data).items()}
    shapes = {column.images.shape[1:] for column in columns.values()}
    if len(shapes) > 1:
        raise DataError(
            f"the splits have images of different shapes: {' and '.join(map(str, sorted(shapes)))}",
            fix="resize the images to one size",
        )
    ys = {part: column.targets for part, column in columns.items()}
    settled = _settle(ys, next(iter(shapes)), target, names, accepts)
    targets = {part: _values(settled, y, part) for part, y in ys.items()}
    if len(columns) == 1:
        columns, targets = _split(columns["train"], targets["train"])
    return MemoryDataset(columns, settled, targets)


def _pairs(data: Any) -> dict[Part, Any]:
    if isinstance(data, Mapping):
        unknown = [name for name in data if name not in PARTS[3]]
        if unknown or "train" not in data:
            raise UsageError(
                f"data has the splits {', '.join(map(str, data)) or 'none'}", fix=f"name them {', '.join(PARTS[3])}"
            )
        return {part: data[part] for part in PARTS[3] if part in data}
    if is_dataset(data):
        return {"train": data}
    if not isinstance(data, tuple | list):
        raise UsageError(
            f"data is a {type(data).__name__}", fix="pass (train, val, test), (train, test) or one split (X, y)"
        )
    if len(data) == 2 and not all(isinstance(each, tuple | list) or is_dataset(each) for each in data):
        return {"train": data}
    if len(data) not in PARTS:
        raise UsageError(
            f"data has {len(data)} splits", fix="pass (train, val, test), (train, test) or one split (X, y)"
        )
    return dict(zip(PARTS[len(data)], data, strict=True))


# ------------------------------------------------------------------------------------------------------------- targets


def _settle(
    ys: Mapping[Part, np.ndarray],
    shape: tuple[int, ...],
    asked: TargetKind | Target | None,
    names: Sequence[str] | None,
    accepts: Sequence[TargetKind],
) -> Target:
    if asked is not None and not isinstance(asked, str):
        return asked
    if asked is not None and asked not in KINDS:
        raise UsageError(f"there is no kind of target '{asked}'", where="target", fix=FIX)
    for part, y in ys.items():
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise DataError(f"y of the {part} split has values that are infinite or NaN", fix="remove these samples")
    kind = asked or _recognised(ys, shape, accepts)
    given = None if names is None else tuple(map(str, names))
    return _TARGETS[kind](ys, given)


def _recognised(ys: Mapping[Part, np.ndarray], shape: tuple[int, ...], accepts: Sequence[TargetKind]) -> TargetKind:
    y = ys["train"]
    integral, binary = y.dtype.kind in "iub", all(np.isin(each, (0, 1)).all() for each in ys.values())
    possible: list[TargetKind] = []
    match y.ndim:
        case 1 if y.dtype.kind in "UO":
            possible = ["classes"]
        case 1:
            possible = ["classes", "values"] if integral else ["values"]
        case 2 if binary and y.shape[1] > 1:
            possible = ["multi_label", "values"]
        case 2 if not integral or "values" in accepts:
            possible = ["values"]
        case 3 if integral and y.shape[1:] == shape[1:]:
            possible = ["mask"]
    if not possible:
        raise DataError(f"y of the shape {y.shape} and type {y.dtype} is no known kind of target", fix=FIX)
    return next((kind for kind in possible if kind in accepts), possible[0])


def _classes(ys: Mapping[Part, np.ndarray], names: tuple[str, ...] | None) -> Target:
    if names is not None:
        return Classes(names=names)
    if ys["train"].dtype.kind in "UO":
        return Classes(names=tuple(sorted({str(each) for y in ys.values() for each in y})))
    return Classes(names=_numbered(ys, "class"))


def _numbered(ys: Mapping[Part, np.ndarray], what: str, ignore: int | None = None) -> tuple[str, ...]:
    """Names "0", "1", … for indices from 0. Raises DataError for values that are no indices."""
    found = [y[y != ignore] if ignore is not None else y for y in ys.values()]
    low, high = (
        int(function(each.min() if function is min else each.max() for each in found if each.size) or 0)
        for function in (min, max)
    )
    if low < 0 or high >= MOST_CLASSES or any(each.dtype.kind not in "iub" for each in found):
        raise DataError(
            f"a {what} is an index from 0, and y has values from {low} to {high}",
            fix="number them from 0, or pass strings",
        )
    return tuple(map(str, range(high + 1)))


def _labels(ys: Mapping[Part, np.ndarray], names: tuple[str, ...] | None) -> Target:
    return MultiLabel(names=names or tuple(map(str, range(_width(ys)))))


def _numbers(ys: Mapping[Part, np.ndarray], names: tuple[str, ...] | None) -> Target:
    width = _width(ys)
    return Values(names=names or (("value",) if width == 1 else tuple(f"value {each}" for each in range(width))))


def _width(ys: Mapping[Part, np.ndarray]) -> int:
    return ys["train"].shape[1] if ys["train"].ndim > 1 else 1


def _mask(ys: Mapping[Part, np.ndarray], names: tuple[str, ...] | None) -> Target:
    return Mask(names=names or _numbered(ys, "pixel's class", IGNORED), ignore=IGNORED)


_TARGETS: dict[str, Callable[[Mapping[Part, np.ndarray], tuple[str, ...] | None], Target]] = {
    "classes": _classes,
    "multi_label": _labels,
    "values": _numbers,
    "mask": _mask,
}


def _values(target: Target, y: np.ndarray, part: Part) -> np.ndarray:
    """Return y in the dtype and shape of a target. Raises DataError for a name that is not one of the target's."""
    if isinstance(target, Classes) and y.dtype.kind in "UO":
        places = {name: index for index, name in enumerate(target.names)}
        unknown = sorted({str(each) for each in y} - set(places))
        if unknown:
            raise DataError(f"y of the {part} split has the class '{unknown[0]}'", fix="add it to names")
        return np.array([places[str(each)] for each in y], np.int64)
    if y.dtype.kind not in "iufb":
        raise DataError(f"y of the {part} split has strings, which are no {target.kind} targets", fix=FIX)
    if isinstance(target, Values):
        return y.astype(np.float32).reshape(len(y), -1)
    dtypes = {"classes": np.int64, "multi_label": np.uint8, "mask": np.uint8}
    dtype = dtypes.get(target.kind)
    if dtype is None:
        return y
    if not np.array_equal(y.astype(dtype), y):
        raise DataError(f"y of the {part} split has values that are no {target.kind} targets ({y.dtype})", fix=FIX)
    return y.astype(dtype)


def _split(column: Column, targets: np.ndarray) -> tuple[dict[Part, Column], dict[Part, np.ndarray]]:
    """Every fifth of the shuffled images of each class is the test split, the same in every run."""
    shuffled = counter_random.order(SPLIT_SEED, 0, len(targets), counter_random.TEST)
    if targets.ndim == 1:
        shuffled = shuffled[np.argsort(targets[shuffled], kind="stable")]
    test = np.sort(shuffled[::TEST_EVERY])
    train = np.setdiff1d(np.arange(len(targets)), test)
    if not len(train):
        raise DataError("one image cannot be split", fix="pass more images, or (train, test)")
    rows: dict[Part, np.ndarray] = {"train": train, "test": test}
    columns = {
        part: column._replace(images=column.images[each], targets=column.targets[each]) for part, each in rows.items()
    }
    return columns, {part: targets[each] for part, each in rows.items()}


def _moments(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, 0 to 1, exact to 4 digits."""
    means, deviations = [], []
    levels = np.arange(256) / 255
    for channel in range(images.shape[1]):
        shares = np.bincount(images[:, channel].ravel(), minlength=256) / images[:, channel].size
        mean = float(shares @ levels)
        means.append(round(mean, 4))
        deviations.append(max(round(float(np.sqrt(shares @ (levels - mean) ** 2)), 4), 0.0039))
    return tuple(means), tuple(deviations)
