"""`zoo bench`: the speed of a model in PyTorch, compiled, and as an exported file, side by side.

Each engine runs in a process of its own. The engines take turns in rounds; one whose outputs differ from PyTorch's is
not timed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from zoo.benching.result import Benchmark, Settings
from zoo.benching.timing import take_rounds
from zoo.errors import UsageError
from zoo.support.atomic_files import storage_errors, write_json
from zoo.support.paths import user_path
from zoo.support.progress import tracked
from zoo.workflows.bench_engines import open_engines
from zoo.workflows.bench_targets import target_of

BATCHES = (1, 8, 32)
SECONDS = 2.0


def benchmark(
    targets: str | Path | Sequence[str | Path],
    *,
    batches: Sequence[int] = BATCHES,
    provider: str = "cpu",
    device: str = "auto",
    threads: int | None = None,
    seconds: float = SECONDS,
    out: str | Path | None = None,
) -> Benchmark:
    """Measure latency, throughput and memory of runs, bundles or exported files.

    A run is exported to a temporary folder with each installed exporter. ``provider`` runs the exported files, and
    ``device`` the networks in PyTorch: ``"auto"`` is the CPU for the provider ``cpu``, otherwise the best device.
    ``threads`` is the number of CPU threads of each engine, by default one for each physical core. Each engine is
    called for about ``seconds`` at each batch size. ``out`` is a new or empty folder for bench.json and bench.png.

    Raises UsageError for a run without a network, CheckpointError for a damaged bundle, SetupError if the provider or
    the device is missing. An engine whose outputs differ is not measured (`Benchmark.differs`).
    """
    names = [targets] if isinstance(targets, str | Path) else list(targets)
    settings = _settings(batches, provider, device, threads, seconds)
    folder = None if out is None else _free(user_path(out))
    with TemporaryDirectory(prefix="zoo-bench-", ignore_cleanup_errors=True) as place, ExitStack() as processes:
        opened = []
        for number, name in enumerate(names):
            own = Path(place, str(number))
            opened.append(open_engines(target_of(str(name), settings, own / "exported"), settings, own, processes))
        turns = [(each, turn) for each in opened for turn in each.turns]
        progress = partial(tracked, text="measuring in rounds")
        timings = take_rounds([turn.take for _, turn in turns], settings.seconds, progress)
        for (each, turn), timing in zip(turns, timings, strict=True):
            each.add(turn, timing)
    result = Benchmark(settings, [each.result for each in opened])
    if folder is not None:
        _write(result, folder)
    return result


def _write(result: Benchmark, folder: Path) -> None:
    from zoo.benching.plot import draw

    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "bench.json", result.facts())
        draw(folder / "bench.png", result)


def _settings(batches: Sequence[int], provider: str, device: str, threads: int | None, seconds: float) -> Settings:
    if not batches or min(batches) < 1:
        raise UsageError("a batch size must be at least 1", where="--batch", fix="for example --batch 1,8,32")
    if threads is not None and threads < 1:
        raise UsageError("the number of threads must be at least 1", where="--threads", fix="for example --threads 2")
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError("the time must be a positive number of seconds", where="--seconds", fix="use --seconds 2")
    sizes = tuple(sorted(set(batches)))
    return Settings(sizes, provider, _device(device, provider), threads or _physical_cores(), seconds)


def _device(name: str, provider: str) -> str:
    if name == "cpu" or (name == "auto" and provider == "cpu"):
        return "cpu"
    from zoo.training.devices import choose_device

    return str(choose_device(name))


def _physical_cores() -> int:
    """The physical cores that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


def _free(folder: Path) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("the output folder must be new or empty", where=folder, fix="choose another --out")
    return folder
