"""Write masks as images."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count as count_from
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def palette_of(decision: dict[str, Any]) -> bytes:
    """768 bytes: red, green and blue of each class. Without colours of their own, those of PASCAL VOC: the bits of the
    class, from the lowest on, are the highest bits of red, green and blue in turn."""
    given = list(decision.get("colours") or [])
    standard = [[sum((index >> 3 * bit + part & 1) << 7 - bit for bit in range(3)) for part in range(3)] for index in
                range(256)]  # fmt: skip
    return bytes(part for colour in (given + standard[len(given) :])[:256] for part in colour)


class MaskFolder:
    """Writes each mask, uint8 (H, W), as ``<name of the image>.mask.png``, a PNG with a palette whose values are the
    classes; a name that is taken by an image before it has a number."""

    def __init__(self, folder: Path, decision: dict[str, Any] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._palette = palette_of(decision or {})
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
        image_of_mask = Image.fromarray(mask)
        image_of_mask.putpalette(self._palette)
        image_of_mask.save(file)
        return file


def write_masks(
    folder: Path, rows: Iterable[tuple[Path, np.ndarray]], decision: dict[str, Any] | None = None
) -> list[Path]:
    """Write the mask of each image (see `MaskFolder`). Returns the files."""
    masks = MaskFolder(folder, decision)
    return [masks.write(path, mask) for path, mask in rows]
