"""Weights that a run does not train, stored once for all of its checkpoints.

    checkpoints/frozen-SHA256.safetensors        named by the sha256 of its content
    checkpoints/frozen-SHA256.copy.safetensors   the same bytes again

A file in each checkpoint would cost 540 MB an epoch for VGG-16 with a new head of 2 MB; a single file, or links to one,
would let one damage spoil every checkpoint. Two separate files cost twice the frozen weights, however many checkpoints
there are, and either may be lost: the other one is read, and the next checkpoint writes the lost one again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import CheckpointError, StorageError
from zoo.runs.root_json import Digest, Fixed
from zoo.support import atomic_files
from zoo.support.atomic_files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

WORTH_A_FILE = 1 << 20
"""Bytes of frozen weights from which on they are stored apart."""


class Frozen(Fixed):
    """What a checkpoint's manifest says of them: their file, and the names of its tensors in order."""

    sha256: Digest
    tensors: tuple[str, ...]


def copies(folder: Path, sha256: str) -> tuple[Path, Path]:
    return folder / f"frozen-{sha256}.safetensors", folder / f"frozen-{sha256}.copy.safetensors"


def damaged_copies(folder: Path, sha256: str, digest: Callable[[Path], str] = atomic_files.sha256) -> list[Path]:
    """Those of the two files that are missing, unreadable or changed."""
    return [path for path in copies(folder, sha256) if not _holds(path, sha256, digest)]


def good_copy(folder: Path, sha256: str) -> Path:
    """Raises CheckpointError where both are damaged."""
    for path in copies(folder, sha256):
        if _holds(path, sha256, atomic_files.sha256):
            return path
    raise CheckpointError(
        "both copies of the frozen weights are damaged", where=folder, fix="restore one of them from a copy of the run"
    )


def store(folder: Path, tensors: Mapping[str, Tensor], before: Frozen | None, digest: Callable[[Path], str]) -> Frozen:
    """Write what is not there yet. ``before`` is that of the last checkpoint: the same names have the same values.

    Raises StorageError.
    """
    names = tuple(sorted(tensors))
    if before is not None and before.tensors == names and not damaged_copies(folder, before.sha256, digest):
        return before
    from zoo.models.tensor_files import to_bytes

    content = to_bytes(tensors)
    found = Frozen(sha256=hashlib.sha256(content).hexdigest(), tensors=names)
    for path in damaged_copies(folder, found.sha256):
        write_bytes(path, content)
        if atomic_files.sha256(path) != found.sha256:
            raise StorageError(
                "the frozen weights read back differ from those written",
                where=path,
                fix="check the disk and the memory",
            )
    return found


def remove_others(folder: Path, needed: Iterable[str]) -> None:
    """Remove the files of frozen weights that no checkpoint has any more."""
    kept = {path for sha256 in needed for path in copies(folder, sha256)}
    for path in folder.glob("frozen-*.safetensors"):
        if path not in kept:
            path.unlink(missing_ok=True)


def _holds(path: Path, sha256: str, digest: Callable[[Path], str]) -> bool:
    try:
        return digest(path) == sha256
    except OSError:
        return False
