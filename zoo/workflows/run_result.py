"""What a run gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.runs.run_directory import Record


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder (None after a dry run), its record and the metrics of the test split."""

    path: Path | None
    record: Record
    metrics: dict[str, float]
