"""Find image files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from zoo.runtime.decoding import FORMATS, SUFFIXES


class Found(NamedTuple):
    """Image files, and how many others were passed over in folders."""

    files: list[Path]
    hidden: int
    others: int

    @property
    def skipped(self) -> str:
        """What was passed over, in words; empty where nothing was."""
        counts = ", ".join(
            f"{count} {what}" for count, what in ((self.hidden, "hidden"), (self.others, "non-image")) if count
        )
        return counts and f"skipped files: {counts}"


def find_images(paths: Iterable[Path]) -> Found:
    """Files as they are, folders by their images (sorted, with subfolders).

    Raises ValueError where nothing is there.
    """
    files: list[Path] = []
    hidden = others = 0
    for path in paths:
        if path.is_dir():
            inside = _in_folder(path)
            if not inside.files:
                raise ValueError(f"{path}: no images ({', '.join(SUFFIXES)}) in this folder")
            files += inside.files
            hidden, others = hidden + inside.hidden, others + inside.others
        elif path.exists():
            files.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    return Found(files, hidden, others)


def _in_folder(folder: Path, above: tuple[str, ...] = ()) -> Found:
    """Links are followed, but not in a circle."""
    found: list[Path] = []
    hidden, others, here = 0, 0, os.path.realpath(folder)
    if here in above:
        raise ValueError(f"{folder}: this link leads back to a folder that it is in")
    try:
        with os.scandir(folder) as entries:  # which knows folders without a system call for each
            kinds = {each.name: (folder / each.name if each.is_symlink() else each).is_dir() for each in entries}
    except OSError as error:
        raise ValueError(f"{folder}: the folder cannot be read: {error.strerror}") from error
    for name in sorted(kinds, key=os.path.normcase):
        path = folder / name
        if name.startswith("."):
            hidden += 1
        elif kinds[name]:
            inside = _in_folder(path, (*above, here))
            found, hidden, others = found + inside.files, hidden + inside.hidden, others + inside.others
        elif is_image(path):
            found.append(path)
        else:
            others += 1
    return Found(found, hidden, others)


def is_image(path: Path) -> bool:
    """Whether a file in a folder is taken for an image: by its suffix, damaged ones too; one whose name has no suffix
    by its content.

    (By content alone, raw files of cameras would be: they are TIFF files with a preview in them.)
    """
    if path.suffix or not path.is_file():
        return path.suffix.lower() in SUFFIXES
    try:
        with path.open("rb") as stream, Image.open(stream, formats=FORMATS):
            return True
    except Exception:  # whatever else it is
        return False
