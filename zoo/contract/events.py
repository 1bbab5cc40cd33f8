"""The events of a run, for trackers: each is one frozen object, and one hook of `zoo.hookspecs` takes it.

An event holds copies: nothing in it is an object of the run. Mappings are read-only and sequences are tuples, all the
way down; `Event.as_dict` gives a copy of plain dicts and lists, ready for ``json.dumps``.
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
    """``record`` is what run.json holds at that time, or at the end of the last epoch for `StepLogged`."""

    hook: ClassVar[str] = ""
    """The hook that takes this event."""

    record: JSON

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, read_only(getattr(self, each.name)))

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON: dicts, lists, numbers and text; paths are text."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent(Event):
    """``run`` is the run's folder."""

    run: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(RunEvent):
    """The run's folder exists and ``config`` is its configuration; ``resumed`` where the run goes on from a
    checkpoint."""

    hook: ClassVar[str] = "zoo_run_started"

    config: JSON
    resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLogged(RunEvent):
    """A step whose loss was read from the device: the first of a run and every ``train.log_steps`` steps.

    ``epoch`` and ``step`` count from 1. ``loss`` is that of the step's batch, ``lr`` the learning rate it used.
    """

    hook: ClassVar[str] = "zoo_step_logged"

    epoch: int
    step: int
    loss: float
    lr: float
    samples_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded(RunEvent):
    """An epoch, counted from 1, was trained and, where there is a validation split, evaluated on it.

    ``metrics`` are its row of metrics.csv: ``train_loss``, ``lr`` and ``val_…``, among others.
    """

    hook: ClassVar[str] = "zoo_epoch_ended"

    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated(RunEvent):
    """The trained model was evaluated on ``split``, of ``samples`` samples.

    The evaluation on the validation split that ends an epoch is part of `EpochEnded`.
    """

    hook: ClassVar[str] = "zoo_evaluated"

    split: str
    samples: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointWritten(RunEvent):
    """A checkpoint is on the disk, in the folder ``path``, which a later one may replace.

    ``epoch`` counts the epochs that are complete in it. ``best`` says whether it is of the best epoch so far.
    """

    hook: ClassVar[str] = "zoo_checkpoint_written"

    path: Path
    epoch: int
    step: int
    best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(RunEvent):
    """The run ended; ``metrics`` are those of the first split it was evaluated on, empty where there is none."""

    hook: ClassVar[str] = "zoo_run_ended"

    status: Literal["finished", "interrupted", "failed"]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported(Event):
    """A bundle passed the gate and is published in the folder ``bundle``.

    ``run`` is the folder of the run it was made from, and ``record`` that run's; None and empty for weights that are
    of no run. ``verification`` is what verify.json holds.
    """

    hook: ClassVar[str] = "zoo_exported"

    run: Path | None
    bundle: Path
    verification: JSON


def read_only(value: Any) -> Any:
    """A copy whose mappings and sequences cannot be changed; what is read-only already is returned as it is."""
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
