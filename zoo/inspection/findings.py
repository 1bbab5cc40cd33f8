"""The result of an inspection, and helpers of its readers: JSON of limited size, digests, and handling of damaged
content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.support.untrusted_files import RECORD_LIMIT, open_regular, read_bytes

MOST_ENTRIES = 1000
"""Names of a container that are kept; more are counted."""
MOST_HASHED = 8 << 30
"""Bytes that are hashed to compare digests with those recorded; further files are not checked."""
HOLDS, DIFFERS, MISSING, UNCHECKED = "holds", "differs", "missing", "not checked"


@dataclass
class Found:
    """The result of an inspection: its ``kind``, facts, contents with a description each, recorded digests and whether
    they match, required plugins, and refused content with reasons."""

    kind: str
    path: str
    size: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    contains: list[tuple[str, str]] = field(default_factory=list)
    more: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def list(self, entries: Iterable[tuple[str, str]]) -> None:
        """Add to what it contains, up to a limit."""
        for entry in entries:
            if len(self.contains) < MOST_ENTRIES:
                self.contains.append(entry)
            else:
                self.more += 1


class Unreadable(ValueError):
    """A file that starts like a known kind but is not valid; the text is the reason."""


def load_json(path: Path) -> Any:
    """A JSON record of limited size. Raises Unreadable, or OSError."""
    try:
        return json.loads(read_bytes(path, RECORD_LIMIT))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path.name} is no JSON that can be read: {type(error).__name__}") from error


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def check_digests(folder: Path, recorded: Mapping[str, Any], found: Found) -> None:
    """Compare files under ``folder`` with their sha256 (a text, or a mapping with ``sha256``)."""
    budget = MOST_HASHED
    for name, value in list(recorded.items())[:MOST_ENTRIES]:
        expected = value.get("sha256") if isinstance(value, dict) else value
        state, used = _digest_state(folder, name, expected, budget)
        budget -= used
        found.digests[name] = state
        if state in (DIFFERS, MISSING):
            found.refused.append(
                f"{name}: {'its sha256 is not the one recorded' if state == DIFFERS else 'recorded, and not there'}"
            )


def _digest_state(folder: Path, name: str, expected: Any, budget: int) -> tuple[str, int]:
    if Path(name).name != name or not isinstance(expected, str):
        return UNCHECKED, 0
    try:
        with open_regular(folder / name) as stream:
            size = (folder / name).stat().st_size
            if size > budget:
                return UNCHECKED, 0
            digest, left = hashlib.sha256(), size
            while left > 0 and (block := stream.read(min(1 << 20, left))):
                digest.update(block)
                left -= len(block)
    except FileNotFoundError:
        return MISSING, 0
    except OSError:
        return UNCHECKED, 0
    return (HOLDS if digest.hexdigest() == expected else DIFFERS), size


def guarded(read: Callable[[Found], None], found: Found) -> Found:
    """Return ``found`` after ``read``; an exception is added to ``found.refused``."""
    try:
        read(found)
    except Unreadable as error:
        found.refused.append(str(error))
    except MemoryError:
        found.refused.append("reading on needs more memory than there is")
    except OSError as error:
        found.refused.append(
            f"it cannot be read on: {error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
        )
    except Exception as error:  # what a third party's bytes lead a reader of archives or pickles to
        found.refused.append(f"it cannot be read on: {type(error).__name__}")
    return found
