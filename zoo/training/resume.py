"""Saving all of a job in a checkpoint, and setting a fresh job back to one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from zoo.errors import CheckpointError
from zoo.runs import checkpoints
from zoo.runs.root_json import Root
from zoo.training.resume_check import generators, set_generators
from zoo.training.train_state import Progress, TrainState, check_finite


def save(job: TrainState) -> str:
    """Write a checkpoint of everything, and remove those beyond the number to keep.

    An older one that was damaged is named and not counted.
    """
    check_finite(job, job.loss_sum.item())
    _leave_out_damaged(job)
    tensors, state = job.stepper.state()
    tensors |= generators(job.engine.device) | {"meter/loss_sum": job.loss_sum, "meter/weight_sum": job.weight_sum}
    state |= {
        "progress": job.progress.__dict__,
        "seconds": job.clock.seconds,
        "structure": job.structure,
        "logs": job.logs.offsets(),
        "environment": environment(job),
        "fingerprint": job.data.fingerprint,
    }
    progress = job.progress
    frozen = {name for name, parameter in job.model.named_parameters() if not parameter.requires_grad}
    name = checkpoints.save(
        job.run,
        progress.step,
        job.result,
        tensors,
        state,
        epoch=progress.epoch,
        best=progress.best,
        frozen=frozen,
        keep=job.config.train.keep_checkpoints,
    )
    job.saved_at, job.saved_step = time.monotonic(), progress.step
    return name


def _leave_out_damaged(job: TrainState) -> None:
    before = job.run.root
    root, lines = checkpoints.survey(job.run, checkpoints.remembered)
    if root != before:
        best = job.progress.best
        _settle(job, root)
        if best is not None and job.progress.best != best:
            lost = checkpoints.lost_best(best)
            lines += [] if lost in lines else [lost]
    for line in lines:
        job.watch.print(line)


def _settle(job: TrainState, root: Root) -> None:
    """The root record has what is left of the run, and the training the best epoch that is left."""
    job.run.write_root(root)
    job.progress.best = None if root.last is None or root.last.best is None else root.last.best.facts


def resume(job: TrainState, *, inexact: bool = False, accepted: Callable[[], None] = lambda: None) -> None:
    """Set a fresh job back to its newest good checkpoint, and its run to what was known then.

    ``accepted`` is called once nothing is refused any more, before anything changes. Raises CheckpointError where the
    result could not be the same to the bit.
    """
    checkpoint, root, lines = checkpoints.newest_good(job.run)
    weights, tensors, state = checkpoints.load(checkpoint)
    _check_data(job, checkpoint, state["fingerprint"])
    was = state["environment"]
    changed = [f"{key} {was.get(key)} → {now}" for key, now in environment(job).items() if was.get(key) != now]
    if changed and not inexact:
        raise CheckpointError(
            f"resuming here would not be exact: {', '.join(changed)}",
            where=checkpoint,
            fix="add --inexact to go on all the same",
        )
    if "optimizer" not in state:
        raise CheckpointError(
            "this checkpoint was written by an older zoo",
            where=checkpoint,
            fix="resume it with that version, or start a new run",
        )
    accepted()
    job.stepper.restore(weights, tensors, state, checkpoint)
    job.progress = Progress(**state["progress"])
    _settle(job, root)
    job.clock.go_on_from(state["seconds"])
    job.loss_sum.copy_(tensors["meter/loss_sum"])
    job.weight_sum.copy_(tensors["meter/weight_sum"])
    job.logs.rewind(state["logs"], job.progress.step)
    set_generators(tensors, job.engine.device)
    for text in [*lines, *(f"not exact: {each}" for each in changed)]:
        job.watch.print(text)
    job.watch.print(
        f"resuming from {checkpoint.name}: epoch {job.progress.epoch + 1}, {job.progress.batch} of "
        f"{job.steps_per_epoch} steps done"
    )


def _check_data(job: TrainState, checkpoint: Path, fingerprint: str) -> None:
    """Raises CheckpointError, with the numbers of samples that differ, where the data is not that of a checkpoint."""
    if fingerprint == job.data.fingerprint:
        return
    was, counts = job.run.record.samples, job.data.samples
    told = [
        f"{was.get(part, 0):,} → {counts.get(part, 0):,} {part} samples"
        for part in {**was, **counts}
        if was.get(part) != counts.get(part)
    ]
    what = ": ".join(["the data has changed since the checkpoint", *([", ".join(told)] if told else [])])
    raise CheckpointError(what, where=checkpoint, fix="bring the data back, or start a new run")


def environment(job: TrainState) -> dict[str, str]:
    """What must be equal for a resumed run to end with the same bits."""
    facts = job.engine.describe()
    kept = {} if job.features is None else {"features": job.features.engine}
    return (
        {key: str(facts[key]) for key in ("device", "name", "precision", "channels_last", "threads")}
        | {"torch": torch.__version__}
        | kept
    )
