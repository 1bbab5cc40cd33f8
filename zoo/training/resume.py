"""Save the whole state of a training in a checkpoint, and restore it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from zoo.errors import CheckpointError
from zoo.models.building import check_fit
from zoo.runs import checkpoints
from zoo.runs.provided_objects import fix_of_mismatch
from zoo.runs.root_json import Root
from zoo.training.random_states import generators, set_generators
from zoo.training.train_state import Progress, TrainState, read_losses


def save(state: TrainState) -> str:
    """Write a checkpoint, and remove those beyond the number to keep.

    Damaged older checkpoints are reported and not counted.
    """
    read_losses(state)
    _leave_out_damaged(state)
    tensors, saved = state.stepper.state()
    tensors |= generators(state.engine.device) | {
        "meter/loss_sum": state.loss_sum,
        "meter/weight_sum": state.weight_sum,
    }
    saved |= {
        "progress": state.progress.__dict__,
        "seconds": state.clock.seconds,
        "adaptations": state.learning.made,
        "logs": state.logs.offsets(),
        "environment": environment(state),
        "fingerprint": state.data.fingerprint,
    }
    progress = state.progress
    frozen = {name for name, parameter in state.model.named_parameters() if not parameter.requires_grad}
    name = checkpoints.save(
        state.run,
        progress.step,
        state.result,
        tensors,
        saved,
        epoch=progress.epoch,
        best=progress.best,
        frozen=frozen,
        keep=state.config.train.keep_checkpoints,
    )
    state.saved_at, state.saved_step = time.monotonic(), progress.step
    state.watch.checkpoint(progress, name)
    return name


def _leave_out_damaged(state: TrainState) -> None:
    before = state.run.root
    root, lines = checkpoints.survey(state.run, checkpoints.remembered)
    if root != before:
        best = state.progress.best
        _settle(state, root)
        if best is not None and state.progress.best != best:
            lost = checkpoints.lost_best(best)
            lines += [] if lost in lines else [lost]
    for line in lines:
        state.watch.print(line)


def _settle(state: TrainState, root: Root) -> None:
    """Update root.json to the remaining checkpoints, and the training state to the best remaining epoch."""
    state.run.write_root(root)
    state.progress.best = None if root.last is None or root.last.best is None else root.last.best.facts


def resume(state: TrainState, *, inexact: bool = False, accepted: Callable[[], None] = lambda: None) -> None:
    """Restore a training from its newest undamaged checkpoint, and cut the run's logs back to it.

    ``accepted`` is called after all checks and before any change. Raises CheckpointError if the result could not be
    bit-identical, unless ``inexact``.
    """
    checkpoint, root, lines = checkpoints.newest_good(state.run)
    weights, tensors, saved = checkpoints.load(checkpoint)
    _check_data(state, checkpoint, saved["fingerprint"])
    was = saved["environment"]
    changed = [f"{key} {was.get(key)} → {now}" for key, now in environment(state).items() if was.get(key) != now]
    if changed and not inexact:
        raise CheckpointError(
            f"resuming here would not be exact: {', '.join(changed)}",
            where=checkpoint,
            fix="add --inexact to resume anyway",
        )
    if "optimizer" not in saved:
        raise CheckpointError(
            "this checkpoint was written by an older zoo",
            where=checkpoint,
            fix="resume it with that version, or start a new run",
        )
    check_fit(state.result, weights, checkpoint, lambda: fix_of_mismatch(state.run.record))
    accepted()
    state.stepper.restore(weights, tensors, saved, checkpoint)
    state.progress = Progress(**saved["progress"])
    _settle(state, root)
    state.clock.go_on_from(saved["seconds"])
    state.loss_sum.copy_(tensors["meter/loss_sum"])
    state.weight_sum.copy_(tensors["meter/weight_sum"])
    state.logs.rewind(saved["logs"], state.progress.step)
    set_generators(tensors, state.engine.device)
    for text in [*lines, *(f"not exact: {each}" for each in changed)]:
        state.watch.print(text)
    state.watch.print(
        f"resuming from {checkpoint.name}: epoch {state.progress.epoch + 1}, {state.progress.batch} of "
        f"{state.steps_per_epoch} steps done"
    )


def _check_data(state: TrainState, checkpoint: Path, fingerprint: str) -> None:
    """Raise CheckpointError, with the changed numbers of samples, if the data has changed since the checkpoint."""
    if fingerprint == state.data.fingerprint:
        return
    was, counts = state.run.record.samples, state.data.samples
    told = [
        f"{was.get(part, 0):,} → {counts.get(part, 0):,} {part} samples"
        for part in {**was, **counts}
        if was.get(part) != counts.get(part)
    ]
    what = ": ".join(["the data has changed since the checkpoint", *([", ".join(told)] if told else [])])
    raise CheckpointError(what, where=checkpoint, fix="restore the data, or start a new run")


def environment(state: TrainState) -> dict[str, str]:
    """Return the conditions that must be equal for a bit-identical resume."""
    facts = state.engine.describe()
    kept = {} if state.features is None else {"features": state.features.engine}
    if state.features is not None and state.features.dropout is not None:
        kept["dropout"] = state.features.dropout
    distillation = state.learning.distillation
    if distillation is not None and distillation.digest is not None:
        kept["teacher"] = distillation.digest
    return (
        {key: str(facts[key]) for key in ("device", "name", "precision", "channels_last", "threads")}
        | {"torch": torch.__version__}
        | kept
    )
