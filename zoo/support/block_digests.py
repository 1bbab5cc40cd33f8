"""Digests of the blocks of a large file, computed by several threads, to detect changes and their place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zoo.support.untrusted_files import open_regular

BLOCK_BYTES = 16 << 20


def block_digests(file: Path) -> list[str]:
    """The sha256 of every 16 MiB of a file. Raises OSError."""
    size = file.stat().st_size
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # hashlib releases the GIL
        return list(pool.map(lambda start: _digest(file, start), range(0, max(size, 1), BLOCK_BYTES)))


def first_change(file: Path, digests: Sequence[str]) -> int | None:
    """Return the offset of the first block that does not match ``digests``, or None if all match.

    Raises OSError.
    """
    found = block_digests(file)
    places = range(max(len(found), len(digests)))
    return next(
        (place * BLOCK_BYTES for place in places if found[place : place + 1] != list(digests[place : place + 1])), None
    )


def _digest(file: Path, start: int) -> str:
    with open_regular(file) as stream:
        stream.seek(start)
        return hashlib.sha256(stream.read(BLOCK_BYTES)).hexdigest()
