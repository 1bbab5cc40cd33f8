"""Frozen weights, stored once for all checkpoints of a run.

    checkpoints/frozen-SHA256.safetensors        named by the sha256 of its content
    checkpoints/frozen-SHA256.copy.safetensors   the same bytes again

A copy in each checkpoint would cost 540 MB per epoch for VGG-16 with a new head of 2 MB. With a single file, or links
to it, one damaged file would damage every checkpoint. Two separate copies cost twice the size of the frozen weights,
for any number of checkpoints. If one copy is damaged, the other is read, and the next checkpoint writes the first
again.
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
"""The size in bytes from which frozen weights are stored separately."""


class Frozen(Fixed):
    """The entry of a checkpoint's manifest: the file of frozen weights and the names of its tensors, in order."""

    sha256: Digest
    tensors: tuple[str, ...]


def copies(folder: Path, sha256: str) -> tuple[Path, Path]:
    return folder / f"frozen-{sha256}.safetensors", folder / f"frozen-{sha256}.copy.safetensors"


def damaged_copies(folder: Path, sha256: str, digest: Callable[[Path], str] = atomic_files.sha256) -> list[Path]:
    """Return the copies that are missing, unreadable or changed."""
    return [path for path in copies(folder, sha256) if not _holds(path, sha256, digest)]


def good_copy(folder: Path, sha256: str) -> Path:
    """Return an undamaged copy. Raises CheckpointError if both are damaged."""
    for path in copies(folder, sha256):
        if _holds(path, sha256, atomic_files.sha256):
            return path
    raise CheckpointError(
        "both copies of the frozen weights are damaged", where=folder, fix="restore one of them from a copy of the run"
    )


def store(folder: Path, tensors: Mapping[str, Tensor], before: Frozen | None, digest: Callable[[Path], str]) -> Frozen:
    """Write the copies that do not exist yet. ``before`` is the entry of the last checkpoint; tensors of the same names
    have the same values.

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
                "the frozen weights differ when read back from disk",
                where=path,
                fix="check the disk and the memory for hardware errors",
            )
    return found


def remove_others(folder: Path, needed: Iterable[str]) -> None:
    """Remove the files of frozen weights that no checkpoint uses."""
    kept = {path for sha256 in needed for path in copies(folder, sha256)}
    for path in folder.glob("frozen-*.safetensors"):
        if path not in kept:
            path.unlink(missing_ok=True)


def _holds(path: Path, sha256: str, digest: Callable[[Path], str]) -> bool:
    try:
        return digest(path) == sha256
    except OSError:
        return False
