"""The loss of a batch that is taken in pieces: sums of weighted values over sums of weights, so that pieces give what
the whole gives."""

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
"""By which the loss of pieces may differ from that of the whole, as a share of it: rounding alone is below."""


class PieceLoss(NamedTuple):
    """The mean loss of a piece, by the weights of its samples, and the sum of these: a number where each sample counts
    one."""

    mean: Tensor
    weight: Tensor | float


def piece_loss(
    task: Task[Any],
    reader: OutputReader,
    outputs: Mapping[str, Tensor],
    parts: Sequence[tuple[float, Batch]],
    distillation: Distillation | None = None,
) -> PieceLoss:
    """The loss of a network's ``outputs`` for one piece, whose targets are those of ``parts``, each with its share
    (`zoo.data.mixup.Mixture`).

    An auxiliary output's values are divided by the weights of the main output's own loss, so that there is one sum of
    weights for all of them.
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
    return PieceLoss(mean / weight, samples * weight)


def _total(terms: Sequence[tuple[float, Tensor]]) -> Tensor:
    """The sum of the values times their shares; of one whole value no arithmetic, which each step would wait for."""
    if len(terms) == 1 and terms[0][0] == 1.0:
        return terms[0][1]
    return torch.stack([share * value for share, value in terms]).sum()


def _checked(task: Task[Any], loss: Any, samples: int) -> Loss:
    """Raises PluginError where a task gives something else than a value, and perhaps a weight, for each sample."""
    where, fix = f"{type(task).__module__}.{type(task).__qualname__}.loss", "report it to the authors of the task"
    if not isinstance(loss, Loss):
        raise PluginError(
            f"the task's loss is {type(loss).__name__}, where a zoo.api.Loss, with a value for each sample, is due",
            where=where,
            fix=fix,
        )
    if any(each is not None and each.shape != (samples,) for each in loss):
        shapes = " and ".join(str(tuple(each.shape)) for each in loss if each is not None)
        raise PluginError(
            f"the task's loss has the shape {shapes}, where one value a sample is due: ({samples},)",
            where=where,
            fix=fix,
        )
    return loss


def _means(loss: Loss) -> tuple[Tensor, Tensor | None]:
    """The mean weighted value of the samples, and their mean weight; None where each counts one."""
    values, weights = loss
    return (values.mean(), None) if weights is None else ((values * weights.detach()).mean(), weights.detach().mean())


def additivity_fault(task: Task[Any], reader: OutputReader, outputs: Mapping[str, Tensor], batch: Batch) -> str | None:
    """How the loss of these samples differs from that of two pieces of them, of different sizes, taken together; None
    where it does not."""
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
    return f"the loss of {samples} samples is {float(whole.mean):.6g}, and that of two pieces of them {together:.6g}"


def _rows(batch: Batch, rows: slice) -> Batch:
    return Batch(batch.inputs[rows], None if batch.targets is None else batch.targets[rows], batch.indices[rows])
