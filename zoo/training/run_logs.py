"""The logs of a training: metrics.csv, steps.jsonl and samples.jsonl. A resumed run truncates them to its
checkpoint."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from zoo.runs.run_directory import RunDir
from zoo.support.atomic_files import storage_errors
from zoo.support.untrusted_files import open_log

if TYPE_CHECKING:
    from torch import Tensor


class RunLogs:
    """Appends to the three files; a context manager that keeps them open during training."""

    def __init__(self, run: RunDir, *, log_samples: bool) -> None:
        self._paths = [run.metrics_file, run.steps_file, *([run.samples_file] if log_samples else [])]
        self._streams: dict[Path, IO[str]] = {}
        self._run, self._log_samples = run, log_samples
        self._last_step, self._last_time = 0, time.perf_counter()

    def __enter__(self) -> Self:
        for path in self._paths:
            with storage_errors(path):
                self._streams[path] = open_log(path)
        self._last_time = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams.values():
            stream.close()

    def epoch(self, row: dict[str, float]) -> None:
        stream = self._streams[self._run.metrics_file]
        writer = csv.DictWriter(stream, list(row), lineterminator="\n")
        with storage_errors(self._run.metrics_file):
            if stream.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
            stream.flush()

    def step(self, step: int, epoch: int, loss: float, lr: float, batch_size: int) -> float:
        """Write a line of steps.jsonl, and return the samples per second since the last line."""
        now = time.perf_counter()
        rate = (step - self._last_step) * batch_size / max(now - self._last_time, 1e-9)
        self._last_step, self._last_time = step, now
        self._line(
            self._run.steps_file,
            {"step": step, "epoch": epoch, "loss": loss, "lr": lr, "samples_per_second": round(rate, 1)},
        )
        return rate

    def samples(self, step: int, indices: Tensor) -> None:
        """Write the samples of a step if ``log_samples``."""
        if self._log_samples:
            self._line(self._run.samples_file, {"step": step, "samples": indices.tolist()})

    def offsets(self) -> dict[str, int]:
        """Return the bytes written to each file so far, for a checkpoint."""
        return {path.name: path.stat().st_size if path.exists() else 0 for path in self._paths}

    def rewind(self, offsets: dict[str, int], step: int) -> None:
        """Truncate each file to its content at the checkpoint of ``step``."""
        self._last_step = step
        for path in self._paths:
            if path.exists():
                with storage_errors(path), open_log(path, "r+") as stream:
                    stream.truncate(min(offsets.get(path.name, 0), path.stat().st_size))

    def _line(self, path: Path, value: dict[str, object]) -> None:
        stream = self._streams[path]
        with storage_errors(path):
            stream.write(json.dumps(value) + "\n")
            stream.flush()
