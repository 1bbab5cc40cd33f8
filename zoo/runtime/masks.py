"""Write masks as images."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count as count_from
from pathlib import Path

import numpy as np
from PIL import Image


class MaskFolder:
    """Writes each mask, uint8 (H, W), as ``<name of the image>.mask.png``, the class of a pixel as its grey value; a
    name that is taken by an image before it has a number."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._last: dict[str, int] = {}
        self._taken: set[str] = set()

    def name(self, image: Path) -> Path:
        """The file for the mask of the next image."""
        for number in count_from(self._last.get(image.stem, 0) + 1):
            name = f"{image.stem}{'' if number == 1 else f'-{number}'}.mask.png"
            if name not in self._taken:
                break
        self._last[image.stem] = number
        self._taken.add(name)
        return self.folder / name

    def write(self, image: Path, mask: np.ndarray) -> Path:
        file = self.name(image)
        Image.fromarray(mask).save(file)
        return file


def write_masks(folder: Path, rows: Iterable[tuple[Path, np.ndarray]]) -> list[Path]:
    """Write the mask of each image (see `MaskFolder`). Returns the files."""
    masks = MaskFolder(folder)
    return [masks.write(path, mask) for path, mask in rows]
