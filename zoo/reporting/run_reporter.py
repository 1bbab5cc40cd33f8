"""What a run tells as it goes on: the console, the plugins' events, and, in run.json, how long it took so far."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.run_directory import Record, RunDir
from zoo.support.stopwatch import Clock
from zoo.training.train_state import Progress


class RunReporter:
    """The implementation of `zoo.training.train_state.Callback` for a run in a folder.

    The record's ``seconds`` go on from what they were. They are written after every epoch too, and into every
    checkpoint: of a run that is killed, those of all the work that it kept are counted.
    """

    def __init__(self, console: Console, where: RunDir, record: Record) -> None:
        self._console, self._where, self._record = console, where, record
        self.clock = Clock(record.seconds or 0.0)
        self.begin, self.step, self.loss, self.print, self.close = (
            console.begin,
            console.step,
            console.loss,
            console.print,
            console.close,
        )

    def started(self, config: dict[str, Any]) -> None:
        self._event("zoo_run_started", config=config)

    def epoch(self, progress: Progress, row: dict[str, float]) -> None:
        self._console.epoch(progress, row)
        self._write()
        self._event("zoo_epoch_ended", epoch=int(row["epoch"]), row=row)

    def stamp(self) -> None:
        """Set the record's seconds to those until now."""
        self._record.seconds = round(self.clock.seconds, 3)

    def ended(self) -> None:
        self._record.ended = datetime.now(UTC).isoformat(timespec="seconds")
        self._write()
        self._event("zoo_run_ended", status=self._record.status, metrics=next(iter(self._record.results.values()), {}))

    def _write(self) -> None:
        self.stamp()
        self._where.write_record(self._record)

    def _event(self, event: str, **facts: Any) -> None:
        for complaint in registry().tell(event, run=self._where.path, **facts):
            self._console.warn(complaint)
