"""What a file or folder from someone else is and contains: nothing in it is executed, loaded or written, and what is
read of it is limited."""

from __future__ import annotations

from pathlib import Path

from zoo.inspection import files, folders
from zoo.inspection.findings import Found
from zoo.support.untrusted_files import open_regular


def inspect(path: Path) -> Found | None:
    """None where it is nothing that zoo knows.

    Raises OSError where it is missing or may not be read, or is a pipe, device or socket.
    """
    if path.is_dir():
        return folders.inspect(path)
    with open_regular(path) as stream:
        head = stream.read(512)
    return files.inspect(path, head)
