"""The oldest versions of Python and of packages that a bundle's client works with."""

from __future__ import annotations

import re
import sys

try:
    import numpy as np
    import PIL.Image
except ImportError as error:
    if __name__ != "zoo_runtime":  # its name in a bundle
        raise
    print(f"error: {error}; fix: pip install numpy pillow", file=sys.stderr)
    sys.exit(6)

OLDEST: dict[str, tuple[int, ...]] = {"python": (3, 8), "numpy": (1, 21), "pillow": (9, 1)}
"""The oldest versions that a client works with, which it is tested with; it refuses older ones."""


class SetupError(RuntimeError):
    """A Python, a package or a machine that the model cannot run on."""


def refuse_older(versions: dict[str, str], required: dict[str, tuple[int, ...]] = OLDEST) -> None:
    """Raises SetupError for the first of these versions, by name, that is older than the one in ``required``."""
    for name, version in versions.items():
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < required[name]:
            oldest = ".".join(map(str, required[name]))
            fix = f"use Python {oldest} or newer" if name == "python" else f"pip install '{name}>={oldest}'"
            raise SetupError(f"{name} {version} is too old for predict.py, which needs {oldest}; fix: {fix}")


if __name__ == "zoo_runtime":  # before names are used that older versions do not have
    try:
        refuse_older({"python": sys.version, "numpy": np.__version__, "pillow": PIL.__version__})
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(6)
