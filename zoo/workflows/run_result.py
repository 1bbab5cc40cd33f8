"""What a run gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.runs.run_directory import Record


@dataclass(frozen=True)
class RunResult:
    """A run that ended: its folder, its record and the metrics of its test split. ``path`` is None after a dry run."""

    path: Path | None
    record: Record
    metrics: dict[str, float]
