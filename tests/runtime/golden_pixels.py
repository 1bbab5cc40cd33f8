"""Digests of the pixels that a bundle's `zoo_runtime.py` makes of images, where numpy and pillow alone are installed:
`python tests/runtime/golden_pixels.py`.

`tests/runtime/test_runtime_pixels.py` holds the values; they were the same with pillow 9.1.1 to 13.0.0.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import PIL
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from zoo.exporting.client_files import runtime_source

SIZES = ((300, 200), (200, 300), (257, 256), (640, 427), (90, 1000), (1000, 90), (31, 33), (7, 5), (1, 40), (224, 223))


def load_runtime() -> ModuleType:
    """The zoo_runtime.py of a bundle."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "zoo_runtime.py").write_bytes(runtime_source())
        sys.path.insert(0, folder)
        return importlib.import_module("zoo_runtime")


def digests() -> dict[str, str]:
    runtime = load_runtime()
    found = {
        f"{way} {filter_} {mode}": _scaled(runtime, options, filter_, mode)
        for way, options, filter_, mode in _ways(runtime)
    }
    with tempfile.TemporaryDirectory() as folder:
        return {
            **found,
            **{name: _digest([np.asarray(runtime.read_image(file, 1))]) for name, file in _files(Path(folder))},
        }


def _ways(runtime: ModuleType) -> list[tuple[str, dict[str, Any], str, str]]:
    ways = {
        "cover": {"resize": runtime.COVER, "height": 32, "width": 48},
        "scale": {"resize": runtime.COVER, "height": 28, "width": 28, "scale": 36},
        "squash": {"resize": runtime.SQUASH, "height": 60, "width": 33},
    }
    return [
        (way, ways[way], filter_, mode) for way in ways for filter_ in ("bilinear", "bicubic") for mode in ("L", "RGB")
    ]


def _scaled(runtime: ModuleType, options: dict[str, Any], filter_: str, mode: str) -> str:
    noise = np.random.RandomState(0)
    return _digest(
        np.asarray(
            runtime.fit(
                Image.fromarray(
                    noise.randint(0, 256, (height, width) if mode == "L" else (height, width, 3)).astype(np.uint8)
                ),
                spec,
            )
        )
        for spec in ({**options, "interpolation": filter_},)
        for width, height in SIZES
    )


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Lossless files, so that the pixels are those that were written."""
    grey = np.random.RandomState(1).randint(0, 256, (40, 50))
    values: dict[str, np.ndarray] = {
        "sixteen.png": (grey * 257 + 11).clip(0, 65535).astype(np.uint16),
        "turned.png": grey.astype(np.uint8),
    }
    values = {
        **values,
        "whole.tif": grey.astype(np.int32),
        "float.tif": (grey + 0.5).clip(0, 255).astype(np.float32),
        "turned.tif": grey.astype(np.uint8),
    }
    exif = Image.Exif()
    exif[0x0112] = 7
    for name, array in values.items():
        Image.fromarray(array).save(folder / name, **({"exif": exif} if name.startswith("turned") else {}))
    return [(name, folder / name) for name in values]


def _digest(arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


if __name__ == "__main__":
    print(json.dumps({"pillow": PIL.__version__, "digests": digests()}, indent=4))
