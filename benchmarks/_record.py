"""What every benchmark shares: its options, and the form in which its figures are written.

A file under `results/` has ``date``, ``commit``, ``command``, ``hardware`` and ``versions``, then what the script
measured. Times that are compared have one form, ``comparisons``: see `compared`.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import json
import os
import platform
import shlex
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from zoo.support.git_commit import commit_of
from zoo.support.paths import processor

PACKAGES = ("torch-zoo", "torch", "torchvision", "timm", "numpy", "onnx", "onnxruntime-gpu", "onnxruntime")
RESULTS = Path(__file__).parent / "results"
TIMES = ("s", "ms")
"""Units in which less is faster."""


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument(
        "--tiny", action="store_true", help="run all parts on few samples, in seconds; the figures mean nothing"
    )
    found.add_argument("--out", type=Path, help="default: a file in results/; with --tiny none")
    return found


def result_file(asked: argparse.Namespace, name: str) -> Path | None:
    """Return the file for the figures of a script, or None if they are not kept."""
    return asked.out or (None if asked.tiny else RESULTS / f"{name}.json")


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def compared(sides: Mapping[str, Sequence[float]], unit: str = "s", ours: str = "zoo") -> dict[str, Any]:
    """Return the common form of a comparison: for each side its values by round, their median, lowest and highest; for
    each other side the ratio to the side ``ours``, in which above 1 ours is faster.

    ``unit`` is one of `TIMES` or a rate, such as ``images/s``. The sides take turns, so that a ratio is of the same
    round: its median, lowest and highest. ``ratios.NAME.of_medians`` is the ratio of the medians.
    """
    own = sides[ours]

    def ratio(other: float, own: float) -> float:
        return other / own if unit in TIMES else own / other

    ratios = {}
    for name, values in sides.items():
        if name != ours:
            middle = ratio(statistics.median(values), statistics.median(own))
            by_round = [ratio(*pair) for pair in zip(values, own, strict=True)]
            ratios[name] = {**spread(by_round), "of_medians": middle}
    figures = {name: {**spread(values), "values": list(values)} for name, values in sides.items()}
    return {"unit": unit, "rounds": len(own), "ours": ours, "sides": figures, "ratios": ratios}


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


def facts() -> dict[str, Any]:
    """Return date, commit, command, hardware and versions."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit_of(Path(__file__).parent),
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *map(_without_folder, sys.argv[1:])]),
        "hardware": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "gpu": gpu(),
            "system": platform.platform(terse=True),
        },
        "versions": {"python": platform.python_version(), **versions},
    }


def _without_folder(argument: str) -> str:
    """Paths are those of one machine: only the last name is recorded."""
    return Path(argument).name if "/" in argument else argument


def write_result(file: Path | None, figures: dict[str, Any]) -> None:
    """Write ``figures`` with date, commit, command, hardware and versions; the last line printed says where."""
    if file is None:
        print("nothing written without --out")
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**facts(), **figures}, indent=2) + "\n", encoding="utf-8")
    print(f"written to {file}")
