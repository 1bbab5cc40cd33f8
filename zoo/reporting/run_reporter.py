"""Reports the progress of a run to the console, to the event hooks of plugins, and to run.json (its duration)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from zoo.contract import events
from zoo.contract.base import JSON
from zoo.contract.events import read_only
from zoo.errors import ZooError
from zoo.registry.lookup import Registry, registry
from zoo.reporting.console import Console
from zoo.runs.run_directory import Record, RunDir
from zoo.support.stopwatch import Clock
from zoo.training.train_state import Progress


class RunReporter:
    """The implementation of `zoo.training.train_state.Callback` for a run in a folder.

    The record's ``seconds`` continue from their previous value. They are also written after every epoch and into every
    checkpoint, so that the duration stays correct if the run is killed.

    An event is built only if a plugin implements its hook. The first failure of a plugin at a hook is reported at once,
    the number of failures at the end of the run.
    """

    def __init__(self, console: Console, where: RunDir, record: Record) -> None:
        self._console, self._where, self._record = console, where, record
        self._faults: Counter[tuple[str, str]] = Counter()
        self._last_record: JSON | None = None
        self.clock = Clock(record.seconds or 0.0)
        self.begin, self.step, self.print, self.close = console.begin, console.step, console.print, console.close

    def started(self, config: dict[str, Any], *, resumed: bool = False) -> None:
        self._send(events.RunStarted, lambda: {"config": config, "resumed": resumed})

    def loss(self, progress: Progress, loss: float, rate: float, lr: float) -> None:
        """``progress.epoch`` counts the complete epochs; ``rate`` is in samples per second."""
        self._console.loss(progress, loss, rate, lr)
        values = {"loss": loss, "lr": lr, "samples_per_second": rate}
        self._send(
            events.StepLogged, lambda: {"epoch": progress.epoch + 1, "step": progress.step, **values}, fresh=False
        )

    def epoch(self, progress: Progress, row: dict[str, float]) -> None:
        self._console.epoch(progress, row)
        self._write()
        self._send(events.EpochEnded, lambda: {"epoch": int(row["epoch"]), "metrics": row})

    def checkpoint(self, progress: Progress, name: str) -> None:
        """``name`` is that of the checkpoint's folder."""
        path, epoch, step = self._where.checkpoints / name, progress.epoch, progress.step
        best = progress.best is not None and progress.best["step"] == step
        self._send(events.CheckpointWritten, lambda: {"path": path, "epoch": epoch, "step": step, "best": best})

    def evaluated(self, split: str, metrics: Mapping[str, float], samples: int) -> None:
        self._send(events.Evaluated, lambda: {"split": split, "metrics": metrics, "samples": samples})

    def stamp(self) -> None:
        """Update the record's seconds."""
        self._record.seconds = round(self.clock.seconds, 3)

    def ended(self) -> None:
        self._record.ended = datetime.now(UTC).isoformat(timespec="seconds")
        self._write()
        metrics = next(iter(self._record.results.values()), {})
        self._send(events.RunEnded, lambda: {"status": self._record.status, "metrics": metrics})
        for (plugin, hook), count in self._faults.items():
            if count > 1:
                self._console.warn(f"plugin '{plugin}' failed {count} times at {hook}; the first is above")

    def _write(self) -> None:
        self.stamp()
        self._where.write_record(self._record)

    def _send(self, kind: type[events.RunEvent], facts: Callable[[], dict[str, Any]], *, fresh: bool = True) -> None:
        """Build and send an event if a plugin implements its hook, with the current record, or (unless ``fresh``) that
        of the last event."""
        catalogue = registry()
        if not catalogue.listens(kind):
            return
        if fresh or self._last_record is None:
            self._last_record = cast("JSON", read_only(self._record.model_dump(mode="json")))
        before = set(self._faults)
        found = catalogue.send(kind(record=self._last_record, run=self._where.path, **facts()))
        for plugin, hook, text in found:
            if (plugin, hook) not in before:
                self._console.warn(text)
        self._faults.update({(plugin, hook) for plugin, hook, _ in found})


def send_exported(catalogue: Registry, bundle: Path, verification: Mapping[str, Any], run: RunDir | None) -> list[str]:
    """Send the event of a published bundle, and return a line for each failure of a plugin."""
    if not catalogue.listens(events.Exported):
        return []
    try:
        record = {} if run is None else run.record.model_dump(mode="json")
    except ZooError:  # the run was changed since the model was read, and the bundle is published all the same
        record = {}
    where = None if run is None else run.path
    event = events.Exported(record=record, run=where, bundle=bundle, verification=verification)
    return [fault.text for fault in catalogue.send(event)]
