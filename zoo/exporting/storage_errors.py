"""Detection of a full disk in the exceptions of other libraries."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import StorageError
from zoo.support.atomic_files import storage_errors
from zoo.support.formatting import causes

FULL = (errno.ENOSPC, errno.EDQUOT)
TEXTS = ("no space left on device", "os error 28", "disk quota exceeded")
"""Error texts of C++ and Rust libraries (protobuf, safetensors), which do not raise OSError."""


@contextmanager
def storage_errors_of_any_kind(where: Path) -> Iterator[None]:
    """Like `zoo.support.atomic_files.storage_errors`, but also for other exceptions caused by a full disk."""
    try:
        with storage_errors(where):
            yield
    except StorageError:
        raise
    except Exception as error:
        if not any(map(_is_of_full_disk, causes(error))):
            raise
        raise StorageError("cannot write: the disk is full", where=where, fix="free some space") from error


def _is_of_full_disk(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno in FULL) or any(text in str(error).lower() for text in TEXTS)
