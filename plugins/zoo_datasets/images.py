"""Unlabelled images of any size: a file, a folder, or all files that match a pattern, as images:PATH."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from zoo.api import Dataset, DatasetStore, Part, Split
from zoo.errors import DataError
from zoo.plugin import find_images, user_path
from zoo_datasets.options import ImagesOptions


class Images(Dataset):
    """The implementation of `zoo.api.Dataset`."""

    parts: Mapping[Part, str] = {"predict": "images"}

    def __init__(self, store: DatasetStore, files: list[Path]) -> None:
        self._store, self._files = store, files

    def load(self, split: str) -> Split:
        return Split(self._files, None, [file.name for file in self._files])

    @cached_property
    def fingerprint(self) -> str:
        """Over the names and contents."""
        digest = hashlib.sha256()
        for file in self._files:
            digest.update(f"{file.name}\0{self._store.digest(file)}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()


def open_images(options: ImagesOptions, store: DatasetStore) -> Images:
    """Raises DataError where there is nothing at the path. A file whose name is a pattern's is that file."""
    place = user_path(options.path)
    try:
        fitting = () if place.exists() else Path(place.anchor).glob(str(place.relative_to(place.anchor)))
        found = find_images(sorted(fitting) or [place])
    except ValueError as error:
        raise DataError(str(error), fix="check the path after images:") from error
    if found.skipped:
        store.note(found.skipped)
    return Images(store, found.files)
