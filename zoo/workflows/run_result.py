"""What a run gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.runs.run_directory import Record
from zoo.support.formatting import duration, figures
from zoo.support.html_tables import html_facts


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder (None after a dry run), its record and the metrics of the test split."""

    path: Path | None
    record: Record
    metrics: dict[str, float]

    def _repr_html_(self) -> str:
        """A table of the results, for notebooks."""
        record = self.record
        counts = ", ".join(f"{part} {count:,}" for part, count in record.samples.items())
        facts: dict[str, object] = {
            "status": record.status,
            "network": record.architecture,
            "data": f"{record.dataset}: {counts}",
            "task": record.task,
            **figures(self.metrics),
            "time": None if record.seconds is None else duration(record.seconds),
            "report": None if self.path is None else self.path / "report.html",
        }
        return html_facts(f"run {record.id}", facts)
