"""Inspect a file or folder from an untrusted source: nothing is executed, loaded or written, and reading is limited."""

from __future__ import annotations

from pathlib import Path

from zoo.inspection import files, folders
from zoo.inspection.findings import Found
from zoo.support.untrusted_files import open_regular


def inspect(path: Path) -> Found | None:
    """Return what a path is and contains; None for an unknown kind of file.

    Raises OSError if it is missing, unreadable, or a pipe, device or socket.
    """
    if path.is_dir():
        return folders.inspect(path)
    with open_regular(path) as stream:
        head = stream.read(512)
    return files.inspect(path, head)
