"""MNIST and Fashion-MNIST, each from its four official files under ``NAME/raw`` (compressed or not), as torchvision
lays them. Some unpackers write a dot into their names, ``train-images.idx3-ubyte``: such files are read, too.

The format is IDX: two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension as a big-endian
32-bit number, then the values.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from zoo.api import Dataset, DatasetSpec, DatasetStore, FileSpec, Options, Part, Split
from zoo.errors import DataError
from zoo_datasets import FASHION_MNIST, MNIST

PREFIX = {"train": "train", "test": "t10k"}
SIDE = 28
MOST = 1_000_000
"""Samples a file may announce: a damaged header must not make us ask for terabytes."""
REPAIR = "remove the file to download it again"


class Mnist(Dataset):
    """The implementation of `zoo.api.Dataset`, over the path of each file by its name without ``.gz``."""

    parts: Mapping[Part, str] = {"train": "train", "test": "test"}

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def load(self, split: str) -> Split:
        images, labels = self._splits[split]
        return Split(images, labels.astype(np.int64))

    @cached_property
    def fingerprint(self) -> str:
        """Over the values, not the files: the same whether these are compressed or not."""
        digest = hashlib.sha256()
        for split in PREFIX:
            for values in self._splits[split]:
                digest.update(hashlib.sha256(values.data).digest())
        return digest.hexdigest()

    @cached_property
    def _splits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """uint8 (N, 1, 28, 28) and uint8 (N,) of each split."""
        return {
            split: (
                read_idx(self._files[f"{prefix}-images-idx3-ubyte"], (SIDE, SIDE)).reshape(-1, 1, SIDE, SIDE),
                read_idx(self._files[f"{prefix}-labels-idx1-ubyte"], ()),
            )
            for split, prefix in PREFIX.items()
        }


def open_mnist(_options: Options, store: DatasetStore) -> Mnist:
    """Raises DataError where a file is missing, or is no IDX file of such images or labels."""
    return _open(store, MNIST)


def open_fashion_mnist(_options: Options, store: DatasetStore) -> Mnist:
    """Raises DataError where a file is missing, or is no IDX file of such images or labels."""
    return _open(store, FASHION_MNIST)


def _open(store: DatasetStore, spec: DatasetSpec) -> Mnist:
    here: dict[FileSpec, Path] = {}
    for file in spec.files:
        official, *other_forms = (store.root / form for form in _forms(file.path))
        found_form = next((path for path in other_forms if path.is_file()), None)
        if found_form is not None and not official.is_file():
            here[file] = found_form
    others = tuple(file for file in spec.files if file not in here)
    found = store.files(spec.model_copy(update={"files": others})) if others else {}
    return Mnist({_name(file): here.get(file) or found[file.path] for file in spec.files})


def _forms(path: str) -> list[str]:
    """Names that the content of an official file is found under, the official one first."""
    plain = path.removesuffix(".gz")
    dotted = plain.replace("-idx", ".idx")
    return [path, plain, f"{dotted}.gz", dotted]


def read_idx(path: Path, item_shape: tuple[int, ...]) -> np.ndarray:
    """uint8 (N, *item_shape), writable.

    Raises DataError where magic number, dimensions or length are not those of such a file.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            return _parse(path, cast(BinaryIO, stream), item_shape)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read: {error}", where=path, fix=REPAIR) from error


def _parse(path: Path, stream: BinaryIO, item_shape: tuple[int, ...]) -> np.ndarray:
    dimensions = 1 + len(item_shape)
    header = stream.read(4 + 4 * dimensions)
    magic = bytes([0, 0, 8, dimensions])
    if header[:4] != magic or len(header) != 4 + 4 * dimensions:
        raise DataError(
            f"no IDX file of {dimensions} dimension(s): it starts with {header[:4].hex()}, not {magic.hex()}",
            where=path,
            fix=REPAIR,
        )
    count, *shape = struct.unpack(f">{dimensions}I", header[4:])
    if tuple(shape) != item_shape:
        raise DataError(
            f"its images are {'×'.join(map(str, shape))}, not {'×'.join(map(str, item_shape))}",
            where=path,
            fix=REPAIR,
        )
    if not 1 <= count <= MOST:
        raise DataError(f"its header states {count:,} samples, not 1 to {MOST:,}", where=path, fix=REPAIR)
    due = count * int(np.prod(item_shape, dtype=np.int64))
    values = stream.read(due + 1)
    if len(values) != due:
        found = "more" if len(values) > due else f"{len(values):,}"
        raise DataError(f"its header states {due:,} bytes of values, but it has {found}", where=path, fix=REPAIR)
    return np.frombuffer(values, np.uint8).reshape(count, *item_shape).copy()


def _name(file: FileSpec) -> str:
    return Path(file.path).name.removesuffix(".gz")
