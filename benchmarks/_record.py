"""What every benchmark writes beside its figures: when, on what, with which versions."""

from __future__ import annotations

import atexit
import functools
import json
import os
import platform
import shutil
import tempfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from zoo.support.paths import processor

PACKAGES = ("torch-zoo", "torch", "torchvision", "timm", "numpy", "onnx", "onnxruntime-gpu", "onnxruntime")


def gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


@functools.cache
def mnist_root() -> Path:
    """A folder where torchvision finds MNIST: it wants the files unpacked, which is done in a temporary copy of
    ZOO_DATA's archives."""
    import torchvision

    from zoo.support.paths import data_root

    root = Path(tempfile.mkdtemp(prefix="mnist-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    shutil.copytree(data_root() / "MNIST", root / "MNIST")
    torchvision.datasets.MNIST(root, download=True)  # the archives are there: this only unpacks
    return root


def write_result(file: Path, figures: dict[str, Any]) -> None:
    """Write ``figures`` with date, hardware and versions; the last line printed says where."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    facts = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "gpu": gpu(),
            "system": platform.platform(terse=True),
        },
        "versions": {"python": platform.python_version(), **versions},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**facts, **figures}, indent=2) + "\n", encoding="utf-8")
    print(f"written to {file}")
