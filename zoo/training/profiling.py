"""`zoo run --profile`: where the time of a training step goes, measured by torch.profiler."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from zoo.support.atomic_files import storage_errors, write_bytes, write_json
from zoo.support.formatting import plural

T = TypeVar("T")

WARMUP, STEPS = 5, 20
"""The number of steps before the profile, in which memory is allocated and kernels are chosen, and in it."""
PHASES = ("data", "forward", "backward", "optimizer")
PREFIX = "zoo: "
OPERATORS = 10
"""The number of operators in the summary."""
NO_PHASE = nullcontext()


class Row(NamedTuple):
    """Milliseconds per step on the host, and on the device (None without one)."""

    name: str
    host: float
    device: float | None


class Profiler:
    """Profiles the first steps of a training; does nothing unless ``folder`` is given.

    The phases of a step are *data* (waiting for the next batch), *forward* (mixing, network and loss), *backward*,
    *optimizer* (update and moving average), and *other*, the rest of its time (logs, progress).
    """

    def __init__(self, folder: Path | None, device: torch.device, log: Callable[[str], None]) -> None:
        self._folder, self._device, self._log = folder, device, log
        self._profile: Any = None
        self._steps = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        if self._folder is None:
            yield
            return
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler prints its own events on stderr
        from torch import profiler

        activities = [profiler.ProfilerActivity.CPU]
        if self._device.type == "cuda":
            activities.append(profiler.ProfilerActivity.CUDA)
        schedule = profiler.schedule(wait=0, warmup=WARMUP, active=STEPS, repeat=1)
        with profiler.profile(activities=activities, schedule=schedule, on_trace_ready=self._write) as self._profile:
            yield
        if self._steps <= WARMUP:
            self._log(f"no profile: the training had {plural(self._steps, 'step')}, and {WARMUP} precede the profile")
        self._profile = None

    def phase(self, name: str) -> AbstractContextManager[object]:
        return NO_PHASE if self._profile is None else torch.profiler.record_function(PREFIX + name)

    def batches(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches; waiting for each is the phase *data*."""
        source = iter(batches)
        while True:
            with self.phase("data"):
                try:
                    batch = next(source)
                except StopIteration:
                    return
            yield batch

    def step(self) -> None:
        """A step has ended."""
        if self._profile is not None:
            self._steps += 1
            self._profile.step()

    def _write(self, profile: Any) -> None:
        """Write trace.json.gz and profile.json, and log the phases."""
        assert self._folder is not None  # noqa: S101  # set where there is a profile
        steps = min(self._steps - WARMUP, STEPS)
        phases, operators = summary(profile.key_averages(), steps, on_device=self._device.type != "cpu")
        with storage_errors(self._folder):
            self._folder.mkdir(exist_ok=True)
        write_bytes(self._folder / "trace.json.gz", _trace(profile))
        facts = {"steps": steps, "phases": _facts(phases), "operators": _facts(operators)}
        write_json(self._folder / "profile.json", facts)
        for line in table(phases, steps):
            self._log(line)
        self._log(f"profile: {self._folder} (open trace.json.gz in https://ui.perfetto.dev)")


def summary(events: Iterable[Any], steps: int, *, on_device: bool) -> tuple[list[Row], list[Row]]:
    """Return the phases of a step, the last of which is *other* and *step*, and the operators that take most time."""
    found: dict[str, Row] = {}
    operators = []
    for event in events:
        name, per_step = event.key, 1 / (1000 * steps)
        if name.startswith((PREFIX, "ProfilerStep")):
            device = event.device_time_total * per_step if on_device else None
            phase = name.removeprefix(PREFIX) if name.startswith(PREFIX) else "step"
            # on CUDA, the range of a phase is listed once for the host and once for the device
            was = found.get(phase, Row(phase, 0.0, None))
            found[phase] = Row(
                phase, max(was.host, event.cpu_time_total * per_step), _most(was.device, device) if on_device else None
            )
        else:
            device = event.self_device_time_total * per_step if on_device else None
            operators.append(Row(name, event.self_cpu_time_total * per_step, device))
    whole = found.get("step", Row("step", 0.0, None))
    phases = [found.get(name, Row(name, 0.0, 0.0 if on_device else None)) for name in PHASES]
    rest = max(0.0, whole.host - sum(each.host for each in phases))
    left = None if whole.device is None else max(0.0, whole.device - sum(each.device or 0.0 for each in phases))
    operators.sort(key=lambda row: -(row.host if row.device is None else row.device))
    return [*phases, Row("other", rest, left), whole], operators[:OPERATORS]


def table(phases: list[Row], steps: int) -> list[str]:
    """Return the phases as lines of text."""
    whole = phases[-1].host or 1.0
    lines = [f"time per training step, mean of {plural(steps, 'step')}, with the profiler's own:"]
    for row in phases:
        device = "" if row.device is None else f"   {row.device:9.3f} ms on the device"
        lines.append(f"  {row.name:<10}{row.host:9.3f} ms {row.host / whole:7.1%}{device}")
    return lines


def _most(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else max(one, other)


def _facts(rows: list[Row]) -> list[dict[str, Any]]:
    return [
        {"name": row.name, "host_ms": row.host} | ({} if row.device is None else {"device_ms": row.device})
        for row in rows
    ]


def _trace(profile: Any) -> bytes:
    """Return the trace in Chrome's format, compressed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(file))
        return gzip.compress(file.read_bytes(), mtime=0)
