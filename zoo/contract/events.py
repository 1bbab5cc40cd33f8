"""The events of a run, for experiment trackers. Each event is an immutable object, passed to one hook of
`zoo.hookspecs`.

An event holds copies, never objects of the run. At every level, mappings are read-only and sequences are tuples;
`Event.as_dict` returns a copy of plain dicts and lists, ready for ``json.dumps``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from zoo.contract.base import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base class of events. ``record`` is the content of run.json at that time; for `StepLogged`, at the end of the
    last epoch."""

    hook: ClassVar[str] = ""
    """The hook that receives this event."""

    record: JSON

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, read_only(getattr(self, each.name)))

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as JSON values; paths become strings."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent(Event):
    """An event of one run. ``run`` is the run's folder."""

    run: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(RunEvent):
    """The run's folder exists, and ``config`` is its resolved configuration. ``resumed`` is true if the run continues
    from a checkpoint."""

    hook: ClassVar[str] = "zoo_run_started"

    config: JSON
    resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLogged(RunEvent):
    """A step was logged: the first of a run, then every ``train.log_steps`` steps.

    ``epoch`` and ``step`` count from 1. ``loss`` is the loss of the step's batch, ``lr`` its learning rate.
    """

    hook: ClassVar[str] = "zoo_step_logged"

    epoch: int
    step: int
    loss: float
    lr: float
    samples_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded(RunEvent):
    """An epoch, counted from 1, ended, and the network was evaluated on the validation split if there is one.

    ``metrics`` is the epoch's row of metrics.csv: ``train_loss``, ``lr``, ``val_…`` and others.
    """

    hook: ClassVar[str] = "zoo_epoch_ended"

    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated(RunEvent):
    """The trained model was evaluated on ``split``, which has ``samples`` samples.

    The evaluation at the end of each epoch is part of `EpochEnded`, not of this event.
    """

    hook: ClassVar[str] = "zoo_evaluated"

    split: str
    samples: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointWritten(RunEvent):
    """A checkpoint was written to the folder ``path``. A later checkpoint may replace it.

    ``epoch`` is the number of complete epochs. ``best`` is true if this is the best epoch so far.
    """

    hook: ClassVar[str] = "zoo_checkpoint_written"

    path: Path
    epoch: int
    step: int
    best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(RunEvent):
    """The run ended. ``metrics`` are those of the first split it was evaluated on; empty if it was not evaluated."""

    hook: ClassVar[str] = "zoo_run_ended"

    status: Literal["finished", "interrupted", "failed"]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported(Event):
    """A bundle was verified and published in the folder ``bundle``.

    ``run`` is the folder of the exported run, and ``record`` its run.json. For weights that come from no run, they are
    None and empty. ``verification`` is the content of verify.json.
    """

    hook: ClassVar[str] = "zoo_exported"

    run: Path | None
    bundle: Path
    verification: JSON


def read_only(value: Any) -> Any:
    """Return a copy with read-only mappings and with tuples; a mapping that is already read-only is not copied."""
    if isinstance(value, MappingProxyType):
        return value
    if isinstance(value, Mapping):
        return MappingProxyType({key: read_only(each) for key, each in value.items()})
    if isinstance(value, list | tuple):
        return tuple(read_only(each) for each in value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
