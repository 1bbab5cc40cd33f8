"""The data folder: existing files of a dataset are used, missing ones are downloaded after a line with source and size.

Existing files need no network access. If the content of a file differs from the official one, the dataset checks its
format, and the run prints a note.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.api import DatasetSpec, FileSpec
from zoo.data.archives import unpack
from zoo.data.downloads import UnreachableError, download
from zoo.errors import DataError, StorageError
from zoo.support.atomic_files import sha256, write_json
from zoo.support.paths import cache_root, data_root, offline
from zoo.support.progress import announce
from zoo.support.untrusted_files import UnsuitableFileError, read_text

MANIFEST = ".zoo-manifest.json"


class Store:
    """The implementation of `zoo.api.DatasetStore`.

    ``alternatives`` are embedded datasets to suggest if files are missing. ``notes`` collects notes about the files.
    """

    def __init__(self, root: Path | None = None, download: bool = True, alternatives: Sequence[str] = ()) -> None:
        self.root = data_root() if root is None else root
        self.alternatives = alternatives
        self.notes: list[str] = []
        self._may_download = download
        self._digests = Digests(self.root)

    def files(self, spec: DatasetSpec) -> Mapping[str, Path]:
        """Return the path of each file by `FileSpec.path`. Raises DataError with URL and path of each missing file."""
        self._download(spec, [file for file in spec.files if not self._place(file).is_file()])
        for file in spec.files:
            if not self._official(file):
                self.notes.append(
                    f"{self._place(file)} is not the official file (its sha256 differs); it is used anyway"
                )
        self._digests.save()
        return {file.path: self._place(file) for file in spec.files}

    def unpack(self, archive: Path) -> Path:
        try:
            digest = self.digest(archive)
        except OSError as error:
            raise DataError(
                f"the archive cannot be read: {error.strerror or error}",
                where=archive,
                fix="check the path and the file",
            ) from error
        return unpack(archive, digest, self.digest)

    @cached_property
    def _elsewhere(self) -> Digests:
        return Digests(cache_root())

    def digest(self, path: Path) -> str:
        """Return the sha256 of a file anywhere; `save_digests` stores it."""
        return self._elsewhere.of(path)

    def save_digests(self) -> None:
        changed = self._elsewhere.changed
        if changed:
            self.notes.append(f"{_files(changed)} changed since last read, the first of them {changed[0]}")
        self._elsewhere.save()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def _place(self, file: FileSpec) -> Path:
        return self.root / file.path

    def _official(self, file: FileSpec) -> bool:
        place = self._place(file)
        return place.stat().st_size == file.size and self._digests.of(place) == file.sha256

    def _download(self, spec: DatasetSpec, missing: list[FileSpec]) -> None:
        if not missing:
            return
        if not self._may_download or offline():
            cause = "ZOO_OFFLINE forbids downloads" if offline() else "downloads are disabled"
            raise missing_files(self.root, {spec.name: missing}, cause, self.alternatives)
        announce(self._announcement(spec, missing))
        for file in missing:
            try:
                download(file.url, self._place(file), file.sha256, file.size)
            except UnreachableError as error:
                left = [other for other in missing if not self._place(other).is_file()]
                raise missing_files(self.root, {spec.name: left}, error.what, self.alternatives) from error

    def _announcement(self, spec: DatasetSpec, missing: list[FileSpec]) -> str:
        sources = ", ".join(dict.fromkeys(file.url.rpartition("/")[0] + "/" for file in missing))
        total = megabytes(sum(file.size for file in missing))
        return (
            f"{spec.name}: downloading {_files(missing)}, {total}, from {sources} to {self.root}; licence: "
            f"{spec.licence}"
        )


class MissingFilesError(DataError):
    """Files of datasets are missing and cannot be downloaded."""


def missing_files(
    root: Path, needed: Mapping[str, Sequence[FileSpec]], cause: str, alternatives: Sequence[str] = ()
) -> MissingFilesError:
    """Return one error for all missing files, given by dataset name, with the URL and path of each."""
    files = [file for missing in needed.values() for file in missing]
    meanwhile = f"; meanwhile, --data {' or --data '.join(alternatives)} needs no download" if alternatives else ""
    return MissingFilesError(
        f"{_files(files)} of {' and '.join(needed)} cannot be downloaded: {cause}",
        where=root,
        fix=f"try again with network access, or save the files below under the given paths{meanwhile}",
        details=[f"{file.url} ({megabytes(file.size)}) → {root / file.path}" for file in files],
    )


class Digests:
    """A cache of sha256 digests, stored in a folder and valid while a file's `_state` stays the same. Paths are
    relative to the folder if possible, so that it can be moved."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, Any] = self._read()
        self._unsaved = False
        self.changed: list[Path] = []
        """Files whose content has changed since the last call."""

    def of(self, path: Path) -> str:
        state = _state(path)
        key = (path.relative_to(self.root) if path.is_relative_to(self.root) else path.absolute()).as_posix()
        entry = self._known.get(key)
        if not isinstance(entry, dict) or {name: entry.get(name) for name in state} != state:
            found = sha256(path)
            if _state(path) != state:
                raise UnsuitableFileError("changes while it is read", path)
            if isinstance(entry, dict) and entry.get("sha256") != found:
                self.changed.append(path)
            entry = {**state, "sha256": found}
            self._known[key] = entry
            self._unsaved = True
        return str(entry["sha256"])

    def save(self) -> None:
        """Write new digests; if the folder is read-only, they are computed again next time."""
        if not self._unsaved:
            return
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            write_json(self.root / MANIFEST, self._known)
        except (StorageError, OSError):
            return
        self._unsaved = False

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(read_text(self.root / MANIFEST))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def _state(path: Path) -> dict[str, int]:
    """Return the properties that differ for a changed file.

    A program can restore size and modification time, but not ctime, which the system maintains.
    """
    found = path.stat()
    return {
        "size": found.st_size, "mtime_ns": found.st_mtime_ns, "ctime_ns": found.st_ctime_ns, "inode": found.st_ino,
        "device": found.st_dev
    }  # fmt: skip


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def _files(files: Sequence[object]) -> str:
    return f"{len(files)} file" + ("s" if len(files) != 1 else "")
