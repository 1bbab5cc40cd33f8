"""From the events of a run to the trackers that ``ZOO_TRACK`` names."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zoo.api import CheckpointWritten, EpochEnded, Evaluated, Exported, RunEnded, RunStarted, StepLogged
from zoo.errors import SetupError, UnknownNameError, ZooError
from zoo.plugin import causes, echo, first_line
from zoo_trackers.tracker import TrackedRun, Tracker

VARIABLE = "ZOO_TRACK"
TRACKERS = {
    "mlflow": "zoo_trackers.to_mlflow:MLflow",
    "tensorboard": "zoo_trackers.to_tensorboard:TensorBoard",
    "trackio": "zoo_trackers.to_trackio:Trackio",
    "wandb": "zoo_trackers.to_wandb:WeightsAndBiases",
}
"""The names of trackers, which are those of their extras and of the modules that they import."""

RunEvent = RunStarted | StepLogged | EpochEnded | Evaluated | CheckpointWritten | RunEnded
Faults = list[str]
FIX = "fix: check its settings and its server, or leave it out of ZOO_TRACK"


def chosen() -> list[str]:
    """Return the names in ``ZOO_TRACK``, each once."""
    names = (name.strip() for name in os.environ.get(VARIABLE, "").split(","))
    return list(dict.fromkeys(filter(None, names)))


@dataclass
class Recording:
    """A run and its open trackers. One that fails does not keep an event from the others."""

    run: TrackedRun
    trackers: dict[str, Tracker] = field(default_factory=dict)
    step: int = 0
    checkpoint: Path | None = None
    known: dict[tuple[str, str], int] = field(default_factory=dict)

    def open(self) -> Faults:
        def start(name: str) -> None:
            self.trackers[name] = load(name)(self.run)

        return attempts(chosen(), start)

    def each(self, work: Callable[[Tracker], object]) -> Faults:
        return attempts(self.trackers, lambda name: work(self.trackers[name]))

    def log(self, group: str, values: Mapping[str, float], step: int) -> Faults:
        """Log values as ``group/name``.

        A resumed run repeats the steps after its last checkpoint, with the same values: they are logged once.
        """
        self.step = max(self.step, step)
        named = {f"{group}/{name}": float(value) for name, value in values.items()}

        def add(name: str) -> None:
            tracker = self.trackers[name]
            if self.run.resumed and (name, group) not in self.known:
                self.known[name, group] = tracker.last_step(next(iter(named)))
            if step > self.known.get((name, group), -1):
                tracker.log(named, step)

        return attempts(self.trackers, add) if named else []


def attempts(names: Iterable[str], work: Callable[[str], object]) -> Faults:
    """Do the work for each tracker; return a line for each that failed."""
    faults: Faults = []
    for name in names:
        try:
            work(name)
        except Exception as error:
            faults.append(str(error) if isinstance(error, ZooError) else f"{name}: {first_line(error)}; {FIX}")
    return faults


def load(name: str) -> type[Tracker]:
    """Return the class of a tracker. Raises UnknownNameError, or SetupError if its client is not installed."""
    if name not in TRACKERS:
        raise UnknownNameError("tracker", name, TRACKERS, fix=f"set {VARIABLE} to one or more of {', '.join(TRACKERS)}")
    module, _, attribute = TRACKERS[name].partition(":")
    try:
        found: type[Tracker] = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        missing = next((each.name for each in causes(error) if isinstance(each, ImportError) and each.name), name)
        raise SetupError(
            f"{name} needs the package {missing}, which is not installed", fix=f"pip install 'torch-zoo[{name}]'"
        ) from error
    return found


_open: dict[Path, Recording] = {}
"""The runs of this process that have not ended, by their folder."""


def record(event: RunEvent | Exported) -> None:
    """Pass an event on. Raises ZooError with what failed, once every tracker had its turn."""
    with warnings.catch_warnings():  # clients change the filters when they are imported
        warnings.simplefilter("ignore", DeprecationWarning)  # of clients, about the libraries that they use
        faults = _exported(event) if isinstance(event, Exported) else _of_run(event)
    if faults:
        raise ZooError("; ".join(faults), fix=None)  # each has its own


def _of_run(event: RunEvent) -> Faults:
    if isinstance(event, RunStarted):
        recording = _open[event.run] = Recording(TrackedRun.of(event, event.run))
        faults = recording.open()
        for tracker in recording.trackers.values():
            echo(f"tracked: {tracker.where}")
        return faults
    recording = _open[event.run]
    match event:
        case StepLogged():
            values = {"loss": event.loss, "lr": event.lr, "samples_per_second": event.samples_per_second}
            return recording.log("step", values, event.step)
        case EpochEnded():
            rest = {name: value for name, value in event.metrics.items() if name != "step"}
            return recording.log("epoch", rest, int(event.metrics["step"]))
        case Evaluated():
            return recording.log(event.split, event.metrics, recording.step)
        case CheckpointWritten():
            recording.checkpoint = event.path
        case RunEnded():
            return _ended(event, _open.pop(event.run))
    return []


def _ended(event: RunEnded, recording: Recording) -> Faults:
    best = event.record.get("checkpoint")
    checkpoint = event.run / "checkpoints" / best if best else recording.checkpoint
    files = {"report": event.run / "report.html", "checkpoint": checkpoint}
    there = {name: str(path.absolute()) for name, path in files.items() if path is not None and path.exists()}

    def end(tracker: Tracker) -> None:
        for name, path in there.items():
            tracker.refer(name, path)
        tracker.close(event.status)

    return recording.each(end)


def _exported(event: Exported) -> Faults:
    """Add the bundle to the tracked run, which ended before."""
    if event.run is None or not event.record:
        return []
    recording = Recording(TrackedRun.of(event, event.run))
    faults = recording.open()
    faults += recording.each(lambda tracker: tracker.refer(f"export_{event.bundle.name}", str(event.bundle.absolute())))
    return [*faults, *recording.each(lambda tracker: tracker.close(str(event.record["status"])))]
