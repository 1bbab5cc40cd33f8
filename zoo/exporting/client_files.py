"""The part of a bundle's client that all formats share."""

from __future__ import annotations

from pathlib import Path

from zoo import runtime

RUNTIME = "zoo_runtime.py"
PREDICT = "predict.py"


def runtime_source() -> bytes:
    """Return the text of `zoo.runtime`, which a bundle's predict.py imports as ``zoo_runtime``."""
    return Path(runtime.__file__).read_bytes()
