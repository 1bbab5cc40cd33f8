"""The loss of a batch that is split into micro-batches: sum of weighted values over sum of weights, so that the result
does not depend on the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.api import MAIN_OUTPUT, Batch, Loss, Task
from zoo.errors import PluginError
from zoo.models.named_outputs import OutputReader
from zoo.training.distillation import Distillation

AGREEMENT = 1e-4
"""Relative tolerance between the loss of micro-batches and of the whole batch; rounding errors are smaller."""


class PieceLoss(NamedTuple):
    """The weighted mean loss of a micro-batch, and the sum of its weights (a number if all weights are 1)."""

    mean: Tensor
    weight: Tensor | float


def piece_loss(
    task: Task[Any],
    reader: OutputReader,
    outputs: Mapping[str, Tensor],
    parts: Sequence[tuple[float, Batch]],
    distillation: Distillation | None = None,
) -> PieceLoss:
    """Return the loss of a network's ``outputs`` for one micro-batch; ``parts`` are its targets, each with its share
    (`zoo.data.mixup.Mixture`).

    The losses of auxiliary outputs are normalised by the weights of the main output, so that all share one sum.
    """
    samples = len(parts[0][1].inputs)
    left_out = {output.name for output in reader.auxiliary}
    own = {name: value for name, value in outputs.items() if name not in left_out}

    def means(given: Mapping[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor | None]:
        loss = _checked(task, task.loss(given, batch), samples)
        return _means(loss if distillation is None else distillation.taught(loss, given[MAIN_OUTPUT], batch))

    terms = [(share, means(own, batch)) for share, batch in parts]
    more = [
        (output.auxiliary * share, means({**own, MAIN_OUTPUT: outputs[output.name]}, batch))
        for output in reader.auxiliary
        if output.auxiliary is not None and output.name in outputs and outputs[output.name].requires_grad
        for share, batch in parts
    ]
    mean = _total([(share, value) for share, (value, _) in terms + more])
    if all(weight is None for _, (_, weight) in terms):
        return PieceLoss(mean, float(samples))
    weight = _total([(share, torch.ones_like(value) if weight is None else weight) for share, (value, weight) in terms])
    # without any weight, such as masks that are ignored everywhere, the loss is 0 and not 0/0
    return PieceLoss(mean / torch.where(weight > 0, weight, torch.ones_like(weight)), samples * weight)


def _total(terms: Sequence[tuple[float, Tensor]]) -> Tensor:
    """Return the sum of values times shares; a single value with share 1 is returned unchanged, to save operations."""
    if len(terms) == 1 and terms[0][0] == 1.0:
        return terms[0][1]
    return torch.stack([share * value for share, value in terms]).sum()


def _checked(task: Task[Any], loss: Any, samples: int) -> Loss:
    """Return ``loss``. Raises PluginError unless it has one value, and optionally one weight, per sample."""
    where = f"{type(task).__module__}.{type(task).__qualname__}.loss"
    if not isinstance(loss, Loss):
        raise PluginError(
            f"the task's loss is {type(loss).__name__}, expected a zoo.api.Loss with one value per sample",
            where=where,
        )
    if any(each is not None and each.shape != (samples,) for each in loss):
        shapes = " and ".join(str(tuple(each.shape)) for each in loss if each is not None)
        raise PluginError(
            f"the task's loss has the shape {shapes}, expected one value per sample: ({samples},)",
            where=where,
        )
    return loss


def _means(loss: Loss) -> tuple[Tensor, Tensor | None]:
    """Return the mean weighted value of the samples, and their mean weight (None if all weights are 1)."""
    values, weights = loss
    return (values.mean(), None) if weights is None else ((values * weights.detach()).mean(), weights.detach().mean())


def additivity_fault(task: Task[Any], reader: OutputReader, outputs: Mapping[str, Tensor], batch: Batch) -> str | None:
    """Return how the loss of a batch differs from that of two unequal micro-batches, or None if it does not."""
    samples = len(batch.inputs)
    whole, cut = piece_loss(task, reader, outputs, [(1.0, batch)]), samples // 2 + 1
    pieces = [
        piece_loss(task, reader, {name: each[rows] for name, each in outputs.items()}, [(1.0, _rows(batch, rows))])
        for rows in (slice(None, cut), slice(cut, None))
    ]
    weight = sum(float(each.weight) for each in pieces)
    together = sum(float(each.mean) * float(each.weight) for each in pieces) / weight
    if abs(together - float(whole.mean)) <= AGREEMENT * max(1.0, abs(float(whole.mean))):
        return None
    return f"the loss of {samples} samples is {float(whole.mean):.6g}, but {together:.6g} in two micro-batches"


def _rows(batch: Batch, rows: slice) -> Batch:
    return Batch(batch.inputs[rows], None if batch.targets is None else batch.targets[rows], batch.indices[rows])
