"""The result of a benchmark, as in bench.json."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from zoo.benching.timing import FEWEST, ROUNDS, Timing
from zoo.support.paths import processor

FORMAT = 1
PACKAGES = ("torch-zoo", "torch", "numpy", "pillow")


@dataclass(frozen=True)
class Settings:
    """``batches`` are the sizes, ``provider`` runs the exported files and ``device`` the networks; ``threads`` is the
    number of CPU threads of each engine, ``seconds`` the time of each engine and batch size."""

    batches: tuple[int, ...]
    provider: str
    device: str
    threads: int
    seconds: float


@dataclass(frozen=True)
class OpenedEngine:
    """``runtime`` is its name and version, ``place`` its device or execution provider, ``loaded_bytes`` the growth of
    the resident memory until it was opened."""

    name: str
    runtime: str
    place: str
    loaded_bytes: int


@dataclass(frozen=True)
class Latency:
    """Durations of calls in milliseconds: the median, both quartiles, and the 95th percentile."""

    median: float
    p25: float
    p75: float
    p95: float

    @property
    def iqr(self) -> float:
        """The interquartile range: the middle half of the calls lies in it."""
        return self.p75 - self.p25

    @classmethod
    def of(cls, timing: Timing) -> Latency:
        return cls(1000 * timing.median, 1000 * timing.lower, 1000 * timing.upper, 1000 * timing.p95)


@dataclass(frozen=True)
class Measurement:
    """One engine at one batch size.

    ``memory_bytes`` is the peak during the calls, None if it is not known. ``first_call_ms`` includes compiling.
    """

    engine: str
    batch: int
    latency_ms: Latency
    images_per_second: float
    memory_bytes: int | None
    calls: int
    rounds: int
    first_call_ms: float


@dataclass(frozen=True)
class Skipped:
    """An engine that was not measured. ``differs``: its outputs are not those of the reference."""

    engine: str
    reason: str
    differs: bool = False


@dataclass(frozen=True)
class PreprocessingTime:
    """Decoding and preprocessing of one image, on one thread. ``images`` says which they are."""

    images: str
    count: int
    latency_ms: Latency
    rounds: int


@dataclass
class TargetResult:
    """The measurements of a run, bundle or file. ``input`` is (C, H, W); ``compared_with`` says what the outputs
    were compared with, and is empty if they were not; ``max_rel_error`` is the largest difference."""

    target: str
    input: tuple[int, int, int]
    compared_with: str = ""
    max_rel_error: float | None = None
    engines: list[OpenedEngine] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    preprocessing: PreprocessingTime | None = None
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Benchmark:
    """The result of `zoo.benchmark`."""

    settings: Settings
    targets: list[TargetResult]

    @property
    def differs(self) -> bool:
        """Whether the outputs of an engine differ, so that it was not measured."""
        return any(each.differs for target in self.targets for each in target.skipped)

    def facts(self) -> dict[str, Any]:
        """Return the result with date, hardware and versions, as JSON."""
        return {
            "format": FORMAT,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "hardware": {
                "processor": processor(),
                "cores": os.cpu_count(),
                "gpu": _gpu(),
                "system": platform.platform(terse=True),
            },
            "versions": {"python": platform.python_version(), **_versions()},
            "settings": {
                **asdict(self.settings),
                "most_rounds": ROUNDS,
                "fewest_calls": FEWEST,
                "precision": "fp32",
                "call": "from a numpy array to a numpy array",
            },
            "targets": [asdict(target) for target in self.targets],
        }


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
