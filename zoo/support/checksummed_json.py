"""JSON files that contain the sha256 of their own content, to detect damage and edits.

The sha256 is not a signature: after an edit with a recomputed sha256, only the digest in another record reveals the
change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError
from zoo.support.atomic_files import write_json
from zoo.support.untrusted_files import RECORD_LIMIT, UnsuitableFileError, read_text

SEAL = "sha256"


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write the file atomically. Raises StorageError; the old file then stays unchanged."""
    write_json(path, {**value, SEAL: digest_of_json(value)})


def read_sealed(path: Path) -> tuple[dict[str, Any], bool]:
    """Return the object in the file, and whether it matches its sha256.

    Raises CheckpointError if the file cannot be read.
    """
    try:
        value = json.loads(read_text(path, RECORD_LIMIT))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path.name} cannot be read: {reason(error)}", where=path, fix="restore it from a copy of the run"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path.name} is not a JSON object", where=path, fix="restore it from a copy of the run")
    seal = value.pop(SEAL, None)
    return value, seal == digest_of_json(value)


def digest_of_json(value: Any) -> str:
    """The sha256 of a value in canonical form: keys sorted, no spaces. An int and a float of equal value differ."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def reason(error: Exception) -> str:
    """Return why a file cannot be read, in one line, without the class of the error."""
    match error:
        case FileNotFoundError():
            return "it is missing"
        case UnsuitableFileError():
            return f"it {error}"
        case OSError():
            return error.strerror or str(error)
        case RecursionError():
            return "it is nested too deeply"
        case UnicodeDecodeError():
            return "it is not UTF-8 text"
    return " ".join(str(error).split())[:200]
