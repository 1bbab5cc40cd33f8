"""Protection against files in the current folder, which may come from an untrusted source."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

MATPLOTLIBRC = "matplotlibrc"


def import_nothing_from_here() -> None:
    """Remove the current folder from sys.path, unless it contains this package.

    ``python -m zoo`` puts it first, so that a torch.py in it would be imported; the command ``zoo`` does not.
    """
    here = Path.cwd()
    if sys.path and Path(sys.path[0] or here) == here and Path(__file__).resolve().parent.parent != here.resolve():
        del sys.path[0]


def ignore_matplotlibrc() -> None:
    """matplotlib reads one from the current folder before any other as it is imported; it may have LaTeX started, or be
    a pipe that never ends.

    The user's own settings, in the home folder or named by MATPLOTLIBRC, are read as ever.
    """
    if not os.path.lexists(MATPLOTLIBRC) or "matplotlib" in sys.modules:
        return
    exists = os.path.exists
    os.path.exists = lambda path: path != MATPLOTLIBRC and exists(path)  # what matplotlib asks; there is no setting
    try:
        importlib.import_module("matplotlib")
    finally:
        os.path.exists = exists
