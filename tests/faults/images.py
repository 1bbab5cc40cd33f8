"""A small archive of images, the same each time: two classes of twelve."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image


def write_archive(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.RandomState(7)
    with zipfile.ZipFile(path, "w") as archive:
        for label in ("bus", "car"):
            for index in range(12):
                content = BytesIO()
                Image.fromarray(random.randint(0, 256, (40, 40, 3), np.uint8)).save(content, "PNG")
                archive.writestr(
                    zipfile.ZipInfo(f"images/{label}/{index:02}.png", (2026, 1, 1, 0, 0, 0)), content.getvalue()
                )
