"""CIFAR-10, from its binary form: the official archive, or the folder ``cifar-10-batches-bin`` that it unpacks to.

Six files of 10,000 records; a record is a label byte, then 3,072 bytes of red, green and blue planes of 32×32. (The
other official form is a pickle, which is never read here.) The archive is read where it lies: a member is taken by its
exact name and size, nothing is unpacked.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from zoo.api import Dataset, DatasetStore, Options, Part, Split
from zoo.errors import DataError
from zoo_datasets import CIFAR10

FOLDER = "cifar-10-batches-bin"
FILES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
RECORDS = 10_000
REPAIR = "remove it to download the archive again"


class Cifar10(Dataset):
    """The implementation of `zoo.api.Dataset`, over the folder or the archive."""

    parts: Mapping[Part, str] = {"train": "train", "test": "test"}

    def __init__(self, place: Path) -> None:
        self._place = place

    def load(self, split: str) -> Split:
        records = self._records[split]
        return Split(np.ascontiguousarray(records[:, 1:]).reshape(-1, *SHAPE), records[:, 0].astype(np.int64))

    @cached_property
    def fingerprint(self) -> str:
        """Over the records: the same whether they are in the archive or in the folder."""
        digest = hashlib.sha256()
        for split in FILES:
            digest.update(hashlib.sha256(self._records[split].data).digest())
        return digest.hexdigest()

    @cached_property
    def _records(self) -> dict[str, np.ndarray]:
        """uint8 (N, 3073) of each split."""
        contents = _from_folder(self._place) if self._place.is_dir() else _from_archive(self._place)
        return {
            split: np.concatenate([_parse(self._place, name, contents[name]) for name in names])
            for split, names in FILES.items()
        }


def open_cifar10(_options: Options, store: DatasetStore) -> Cifar10:
    """Raises DataError where the files are missing, or are not of CIFAR-10's form."""
    folder = store.root / FOLDER
    if folder.is_dir():
        return Cifar10(folder)
    return Cifar10(store.files(CIFAR10)[CIFAR10.files[0].path])


def _from_folder(folder: Path) -> dict[str, bytes]:
    contents = {}
    for name in (name for names in FILES.values() for name in names):
        try:
            with (folder / name).open("rb") as stream:
                contents[name] = stream.read(RECORDS * RECORD + 1)
        except OSError as error:
            raise DataError(
                f"cannot be read: {error.strerror}", where=folder / name, fix="complete the folder, or " + REPAIR
            ) from error
    return contents


def _from_archive(archive: Path) -> dict[str, bytes]:
    wanted = {f"{FOLDER}/{name}": name for names in FILES.values() for name in names}
    contents = {}
    try:
        with tarfile.open(archive, "r:gz") as members:
            for member in members:
                name = wanted.get(member.name)
                stream = members.extractfile(member) if name and member.isreg() else None
                if name and stream is not None:
                    contents[name] = stream.read(RECORDS * RECORD + 1)
                if len(contents) == len(wanted):
                    break
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"the archive cannot be read: {error}", where=archive, fix=REPAIR) from error
    missing = [name for name in wanted.values() if name not in contents]
    if missing:
        raise DataError(f"the archive lacks {', '.join(missing)}", where=archive, fix=REPAIR)
    return contents


def _parse(place: Path, name: str, content: bytes) -> np.ndarray:
    """uint8 (10000, 3073), writable. Raises DataError where length or labels are not CIFAR-10's."""
    due = RECORDS * RECORD
    if len(content) != due:
        found = "more" if len(content) > due else f"{len(content):,}"
        raise DataError(f"{name} must have {due:,} bytes, but has {found}", where=place, fix=REPAIR)
    records = np.frombuffer(bytearray(content), np.uint8).reshape(RECORDS, RECORD)
    highest = int(records[:, 0].max())
    if highest >= len(CIFAR10.classes):
        raise DataError(
            f"{name} has the label {highest}, outside 0…{len(CIFAR10.classes) - 1}", where=place, fix=REPAIR
        )
    return records
