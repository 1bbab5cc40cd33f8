"""The learning rate range test: training steps with an exponentially growing learning rate.

L. N. Smith: Cyclical learning rates for training neural networks (2017), section 3.3.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from zoo.api import Batch
from zoo.errors import UsageError
from zoo.reporting.console import Console
from zoo.runs.plan import RunPlan
from zoo.runs.run_directory import create
from zoo.support.progress import tracked
from zoo.training.preparation import prepare
from zoo.training.train_state import TrainState
from zoo.training.trainer import remaining_batches, take_step

WIDTH = 0.025
"""Standard deviation of the Gaussian filter, as a share of the steps. A filter that looked back only would move the
curve to larger learning rates."""
RECENT = 0.8
"""Decay of the moving average that is compared with its minimum while the test runs."""
DIVERGED = 3.0
"""The test stops when the moving average of the loss is this many times its minimum."""


@dataclass(frozen=True)
class LrRange:
    """For each step of the test: its learning rate, its loss, and the smoothed loss.

    ``suggestion`` is the learning rate at which the smoothed loss falls fastest per decade, and ``minimum`` the one at
    which it is least. Larger learning rates than ``minimum`` make the training worse from the first steps.
    """

    lr: tuple[float, ...]
    loss: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float
    minimum: float
    diverged: bool
    notes: tuple[str, ...] = ()


def lr_range(plan: RunPlan, lowest: float, highest: float, steps: int) -> LrRange:
    """Train ``steps`` steps of ``plan`` with learning rates from ``lowest`` to ``highest``, in equal ratios.

    It trains like the run, with its seed, batches, augmentation and precision, but without its schedule. Nothing is
    kept. Raises UsageError for a task that is not trained, and the errors of the run.
    """
    if not 0 < lowest < highest:
        raise UsageError(
            f"the learning rates must grow from a positive one, not from {lowest:g} to {highest:g}",
            fix="use for example --from 1e-6 --to 1",
        )
    if steps < 10:
        raise UsageError(f"--steps must be at least 10, not {steps}", fix="use for example --steps 100")
    ready = prepare(plan)
    if ready.learning is None or not ready.trains:
        raise UsageError(
            f"{plan.config.task.name} is computed without training steps, so it has no learning rate",
            fix="choose another recipe (see `zoo list recipes`)",
        )
    rates = np.geomspace(lowest, highest, steps).tolist()
    with tempfile.TemporaryDirectory(prefix="zoo-lr-range-") as folder:
        run = create(ready.config, Path(folder) / "run")
        state = TrainState(
            ready.config, ready.learning, ready.model, ready.data, ready.engine, run, Console(quiet=True)
        )
        losses = _losses(state, rates)
    return found(rates[: len(losses)], losses, diverged=len(losses) < steps, notes=tuple(ready.notes))


def _losses(state: TrainState, rates: Sequence[float]) -> list[float]:
    """Return the loss before each step, until it is not finite or has grown ``DIVERGED`` times."""
    groups = state.stepper.optimizer.param_groups
    shares = [group["lr"] / state.config.train.lr for group in groups]
    state.stepper.schedule = None
    losses: list[float] = []
    recent = least = math.inf
    with state.reading():
        for rate, batch in zip(tracked(rates, "testing learning rates"), _batches(state), strict=False):
            for group, share in zip(groups, shares, strict=True):
                group["lr"] = rate * share
            loss = take_step(state, batch).mean.item()
            if not math.isfinite(loss):
                break
            losses.append(loss)
            recent = RECENT * recent + (1 - RECENT) * loss if len(losses) > 1 else loss
            least = min(least, recent)
            if recent > DIVERGED * least:
                break
    return losses


def _batches(state: TrainState) -> Iterator[Batch]:
    """Yield the batches of the run, epoch after epoch."""
    for epoch in itertools.count():
        state.begin_epoch(epoch)
        yield from remaining_batches(state, epoch)


def found(
    rates: Sequence[float], losses: Sequence[float], *, diverged: bool = False, notes: tuple[str, ...] = ()
) -> LrRange:
    """Return the result of a test. Raises UsageError if there are too few losses to read a slope from."""
    if len(losses) < 5:
        raise UsageError(
            f"the loss diverged after {len(losses)} steps, at a learning rate of {rates[-1] if rates else 0:.2g}",
            fix="begin lower: --from 1e-8",
        )
    smoothed = gaussian_filter1d(np.array(losses), max(1.0, WIDTH * len(losses)), mode="nearest")
    lowest = int(np.argmin(smoothed))
    slopes = np.gradient(smoothed, np.log10(rates))
    steepest = int(np.argmin(slopes[: max(lowest, 1) + 1]))
    smooth = tuple(smoothed.tolist())
    return LrRange(tuple(rates), tuple(losses), smooth, float(rates[steepest]), float(rates[lowest]), diverged, notes)


def summary(result: LrRange) -> dict[str, Any]:
    """The result, as JSON."""
    return {
        "suggestion": result.suggestion,
        "minimum": result.minimum,
        "diverged": result.diverged,
        "steps": [
            {"lr": rate, "loss": loss, "smoothed": mean}
            for rate, loss, mean in zip(result.lr, result.loss, result.smoothed, strict=True)
        ],
    }
