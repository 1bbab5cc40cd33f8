"""Record runs in TensorBoard, MLflow, Weights & Biases and Trackio. Nothing is recorded unless ``ZOO_TRACK`` names
trackers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zoo.api import hookimpl

if TYPE_CHECKING:
    from zoo.api import CheckpointWritten, EpochEnded, Evaluated, Exported, RunEnded, RunStarted, StepLogged
    from zoo_trackers.recording import RunEvent

ZOO_API = "2.0"


def _record(event: RunEvent | Exported) -> None:
    if os.environ.get("ZOO_TRACK", "").strip():
        from zoo_trackers.recording import record

        record(event)


@hookimpl
def zoo_run_started(event: RunStarted) -> None:
    _record(event)


@hookimpl
def zoo_step_logged(event: StepLogged) -> None:
    _record(event)


@hookimpl
def zoo_epoch_ended(event: EpochEnded) -> None:
    _record(event)


@hookimpl
def zoo_evaluated(event: Evaluated) -> None:
    _record(event)


@hookimpl
def zoo_checkpoint_written(event: CheckpointWritten) -> None:
    _record(event)


@hookimpl
def zoo_run_ended(event: RunEnded) -> None:
    _record(event)


@hookimpl
def zoo_exported(event: Exported) -> None:
    _record(event)
