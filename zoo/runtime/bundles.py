"""Read bundle.json, and check its own digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

INDEX = "bundle.json"
INDEX_BYTES = 64 << 20
SEAL = b'"sha256": "'
"""In a bundle.json of format 3: the sha256 of all bytes before and including this text follows it."""


class ModelError(ValueError):
    """A model that is missing, was altered, cannot be loaded, or does not describe itself."""


def read_index_bytes(folder: Path) -> bytes | None:
    file = folder / INDEX
    if not file.exists():
        return None
    refuse_special(file)
    try:
        with file.open("rb") as stream:
            content = stream.read(INDEX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror or error}") from error
    if len(content) > INDEX_BYTES:
        raise ModelError(f"{file} is damaged: it has more than {INDEX_BYTES:,} bytes")
    return content


def read_index(bundle: Path) -> dict[str, Any]:
    """The content of a bundle's bundle.json. Raises ModelError if it is missing or damaged."""
    content = read_index_bytes(bundle)
    if content is None:
        raise ModelError(f"{bundle / INDEX}: is missing")
    return parse_index(content, bundle / INDEX)


def parse_index(content: bytes, file: Path) -> dict[str, Any]:
    """A bundle.json, checked against the sha256 at its end (format 3). Raises ModelError."""
    try:
        index = json.loads(content.decode("utf-8"))
        sealed = index.get("format", 1) >= 3 or "sha256" in index
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file} is damaged: {error}") from error
    if sealed and sealed_json(content[: content.rfind(SEAL)]) != content:
        raise ModelError(f"{file} was altered: its sha256 is not the one at its end")
    return dict(index)


def sealed_json(head: bytes) -> bytes:
    """The bytes of a JSON object whose last entry is the sha256 of the bytes before it."""
    start = head + SEAL
    return start + hashlib.sha256(start).hexdigest().encode() + b'"\n}\n'


def refuse_special(file: Path) -> None:
    """Reading a named pipe or a device may never end."""
    if not file.is_file():
        raise ModelError(f"{file}: {'is no regular file' if file.exists() else 'is missing'}")


def model_digests(index: dict[str, Any], model: Path) -> dict[str, str]:
    """The sha256 of each file that is loaded for ``model``, its own first; before format 3, weights in a second file
    were not listed."""
    try:
        files, loaded = index["files"], index.get("model_files")
        names = loaded if loaded is not None else [model.name, *({model.name + ".data"} & set(files))]
        found = {str(name): str(files[name]["sha256"]) for name in sorted(names, key=lambda name: name != model.name)}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        missing = isinstance(error, LookupError) and error.args == (model.name,)
        reason = f"it does not name {model.name}" if missing else str(error)
        raise ModelError(f"{model.parent / INDEX} is damaged, or another model's: {reason}") from error
    if model.name not in found:
        raise ModelError(f"{model.parent / INDEX} is damaged, or another model's: it does not name {model.name}")
    strange = [name for name in found if Path(name).name != name]
    if strange:
        raise ModelError(f"{model.parent / INDEX} is damaged: {strange[0]!r} is no file of the bundle")
    return found
