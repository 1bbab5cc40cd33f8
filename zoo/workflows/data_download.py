"""The files that datasets need: their list, their paths and their download (`zoo data download`, `zoo data path`)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.api import DatasetSpec, FileSpec
from zoo.config.run_config import DatasetSection
from zoo.data.data_folder import Store, missing_files
from zoo.data.open_dataset import open_dataset
from zoo.errors import DataError
from zoo.registry.lookup import Item, registry
from zoo.runs.resolve_config import dataset_section
from zoo.support.formatting import plural
from zoo.support.paths import data_root, offline


class Absent(DataError):
    """A file is missing or not unpacked. Raised by `Looker`, and never shown to users."""


class Looker:
    """A `zoo.api.DatasetStore` that downloads nothing: it records the requested files and returns those that exist."""

    def __init__(self) -> None:
        self._store = Store(download=False)
        self.root = self._store.root
        self.asked: list[FileSpec] = []
        self.archives: list[Path] = []

    def files(self, spec: DatasetSpec) -> Mapping[str, Path]:
        self.asked.extend(spec.files)
        places = {file.path: self.root / file.path for file in spec.files}
        if not all(place.is_file() for place in places.values()):
            raise Absent(f"files of {spec.name} are missing", where=self.root, fix=f"zoo data download {spec.name}")
        return places

    def unpack(self, archive: Path) -> Path:
        """Refuse: the requested files are known by now, and unpacking may take minutes."""
        self.archives.append(archive)
        raise Absent("the archive is not unpacked here", where=archive, fix="start a run, which unpacks it")

    def digest(self, path: Path) -> str:
        return self._store.digest(path)

    def note(self, text: str) -> None:
        """Ignore the note, since it is printed again when the dataset is used."""


@dataclass(frozen=True)
class Needs:
    """A dataset and the files it needs, given the present content of the data folder: files whose content is there in
    another form are not needed."""

    item: Item[DatasetSpec]
    section: DatasetSection
    asked: tuple[FileSpec, ...]
    instead: tuple[Path, ...] = ()
    """The archives that are read instead of the official files."""

    @property
    def name(self) -> str:
        """The name for the command line: the short one if it is unique."""
        return registry().short_name(self.item)

    @property
    def argument(self) -> str | None:
        """The path of a dataset of the user's own, given after its name."""
        name = self.item.spec.path_option
        return None if name is None else str(self.section.options[name])

    @property
    def missing(self) -> tuple[FileSpec, ...]:
        return tuple(file for file in self.asked if not (data_root() / file.path).is_file())

    def files(self) -> list[dict[str, Any]]:
        """Return each file of the dataset with its path; ``needed`` is false if its content exists in another form."""
        rows = []
        for file in self.item.spec.files:
            place = data_root() / file.path
            rows.append(
                {
                    **file.model_dump(mode="json"),
                    "place": str(place),
                    "present": place.is_file(),
                    "needed": file in self.asked,
                }
            )
        return rows

    @property
    def state(self) -> str:
        """Whether the files are in the data folder, in words."""
        files, missing = self.item.spec.files, self.missing
        if self.argument is not None:
            return f"{self.argument} is your own, there is nothing to download"
        if not files:
            return "included with an installed package, there is nothing to download"
        if missing:
            count = f"{len(missing)} of {plural(len(files), 'file')} missing"
            return f"{count}; `zoo data download {self.name}` downloads {'it' if len(missing) == 1 else 'them'}"
        if len(self.asked) < len(files):
            used = f": {', '.join(archive.name for archive in self.instead)}" if self.instead else ""
            return f"here, in another form than the official files{used}"
        return f"{plural(len(files), 'file')} here"


def presence(file: dict[str, Any]) -> str:
    """Whether a file of `Needs.files` is here, in a word for a table."""
    return "yes" if file["present"] else "no" if file["needed"] else "in another form"


def look(name: str) -> Needs:
    """Return what a dataset needs. Raises UnknownNameError, or DataError if existing files cannot be opened."""
    catalogue = registry()
    section = dataset_section(catalogue, name)
    item = catalogue.dataset(section.name)
    looker = Looker()
    with contextlib.suppress(Absent):
        open_dataset(item, section.options, looker)
    official = {data_root() / file.path for file in item.spec.files}
    instead = (
        ()
        if item.spec.path_option is not None
        else tuple(archive for archive in looker.archives if archive not in official)
    )
    return Needs(item, section, tuple(looker.asked), instead)


def download(names: Sequence[str]) -> list[Needs]:
    """Download the missing files of datasets, after printing source, size and licence.

    Raises one DataError for all failures; the other files are downloaded nevertheless.
    """
    wanted = list(dict.fromkeys(names))
    needs = [look(name) for name in wanted]
    if offline():
        _refuse(needs, "ZOO_OFFLINE forbids downloads")
    errors = []
    for need in needs:
        if not need.missing:
            continue
        try:
            open_dataset(need.item, need.section.options)
        except DataError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:  # one error lists the missing files of all datasets, with the causes
        causes = [error.__cause__ if isinstance(error.__cause__, DataError) else error for error in errors]
        _refuse([look(name) for name in wanted], "; ".join(cause.what for cause in causes))
    return [look(name) for name in wanted]


def require_here(needs: Sequence[Needs]) -> None:
    """Raise DataError if files of a dataset are missing."""
    absent = [need.name for need in needs if need.missing]
    if absent:
        raise DataError(
            f"{' and '.join(absent)}: files are missing", where=data_root(), fix=f"zoo data download {' '.join(absent)}"
        )


def _refuse(needs: Sequence[Needs], cause: str) -> None:
    missing = {need.name: need.missing for need in needs if need.missing}
    if missing:
        embedded = [
            registry().short_name(item)
            for item in registry().items("dataset")
            if item.spec.embedded and item.spec.labelled
        ]
        raise missing_files(data_root(), missing, cause, embedded)
