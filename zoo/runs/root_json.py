"""``root.json``: the record that the other files of a run are verified against.

It holds the configuration, digests of the fields of run.json that rebuild the model, and the list of checkpoints with
the sha256 of each MANIFEST.json, which in turn holds the digests of the checkpoint's files. It is replaced atomically,
so that after a crash the last checkpoint, the best one and its metric are consistent.

Nothing in it depends on the path: a run's folder may be moved or copied.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.config.run_config import RunConfig
from zoo.config.validation_errors import explain
from zoo.errors import CheckpointError
from zoo.support.checksummed_json import read_sealed, write_sealed
from zoo.support.yaml_files import write_yaml

NAME = r"^step-\d{6,}(\.\d+)?$"
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
CheckpointName = Annotated[str, Field(pattern=NAME)]


class Fixed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Best(Fixed):
    """The best epoch as of a checkpoint: its own checkpoint, and its metric."""

    checkpoint: CheckpointName
    metric: str
    value: float
    epoch: int
    step: int

    @property
    def facts(self) -> dict[str, Any]:
        """In the form of `zoo.training.train_state.Progress`."""
        return self.model_dump(exclude={"checkpoint"})


class Published(Fixed):
    """A checkpoint: ``digest`` is the sha256 of its manifest, ``epoch`` the number of complete epochs, ``best`` the
    best epoch as of then."""

    name: CheckpointName
    digest: Digest
    step: int
    epoch: int
    best: Best | None = None


class Root(Fixed):
    """``run`` is a random id, also stored in the manifest of every checkpoint. ``checkpoints`` are in the order of
    writing."""

    format: Literal[1] = 1
    run: str
    config: dict[str, Any]
    config_sha256: Digest
    record: dict[str, Digest] = {}
    checkpoints: tuple[Published, ...] = ()

    @property
    def last(self) -> Published | None:
        return self.checkpoints[-1] if self.checkpoints else None

    @property
    def chosen(self) -> str | None:
        """The checkpoint to evaluate and export: the best, or the last if there is no best."""
        last = self.last
        return None if last is None else last.name if last.best is None else last.best.checkpoint

    def with_changes(self, **changes: Any) -> Root:
        return self.model_copy(update=changes)


def new_root(config: RunConfig) -> Root:
    return Root(
        run=secrets.token_hex(16),
        config=config.as_dict(),
        config_sha256=hashlib.sha256(config_text(config).encode()).hexdigest(),
    )


def config_text(config: RunConfig) -> str:
    """Return the content of config.yaml."""
    return write_yaml(config.as_dict())


def write_root(file: Path, root: Root) -> None:
    write_sealed(file, root.model_dump(mode="json"))


def read_root(file: Path) -> Root:
    """Read root.json. Raises CheckpointError if it is missing or was changed."""
    if not os.path.lexists(file):
        what = f"the run has no {file.name}: the run is from an older zoo, or the file was removed"
        raise CheckpointError(
            what,
            where=file.parent,
            fix="restore the file, or train again with `zoo run --config` and the run's config.yaml",
        )
    value, intact = read_sealed(file)
    if not intact:
        what = f"{file.name} was changed after zoo wrote it: its content does not match the sha256 in it"
        raise CheckpointError(what, where=file.parent, fix="restore it from a copy of the run")
    try:
        return Root.model_validate(value)
    except ValidationError as error:
        what = f"{file.name} is of another version of zoo: {'; '.join(explain(error, Root)[:3])}"
        raise CheckpointError(what, where=file.parent, fix="use the zoo that wrote it") from error


def differences(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted keys at which two nested mappings differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from differences(one.get(key), other.get(key), f"{path}.{key}".lstrip("."))
    elif one != other:
        yield path, one, other
