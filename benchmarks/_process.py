"""Seconds of whole processes, and packages for them in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

FASTAI = (
    *("fastai", "fastcore", "fastprogress<1.1", "fasttransform", "fastdownload", "plum-dispatch", "cloudpickle"),
    *("beartype", "pandas", "python-dateutil", "pytz", "tzdata", "six"),
)
"""fastprogress 1.1 needs a web framework."""


def timed(command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> dict[str, float]:
    """Run a command in ``folder``, and return the seconds of the process from start to end by the clock, and those of
    the processor that it and its threads used. It ends this process if the command fails."""
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(
        list(command), env={**os.environ, **(variables or {})}, cwd=folder, capture_output=True, text=True, check=False
    )
    clock, after = time.perf_counter() - started, os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:200]}\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    used = sum(getattr(after, each) - getattr(before, each) for each in ("children_user", "children_system"))
    return {"clock": clock, "processor": used}


def install(packages: Sequence[str], folder: Path) -> Path:
    """Install packages from the package index into ``folder``, without their dependencies, so that they use this
    environment's torch; return ``folder``."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), "--no-deps", *packages]
    subprocess.run(command, check=True)
    return folder
