"""The loss of a batch that is taken in pieces: sums of weighted values over sums of weights, so that pieces give what
the whole gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.api import Auxiliary, Batch, Loss, Task
from zoo.errors import PluginError

AGREEMENT = 1e-4
"""By which the loss of pieces may differ from that of the whole, as a share of it: rounding alone is below."""


class PieceLoss(NamedTuple):
    """The mean loss of a piece, by the weights of its samples, and the sum of these: a number where each sample counts
    one."""

    mean: Tensor
    weight: Tensor | float


def piece_loss(task: Task, output: Auxiliary, parts: Sequence[tuple[float, Batch]]) -> PieceLoss:
    """The loss of a network's ``output`` for one piece, whose labels are those of ``parts``, each with its share
    (`zoo.data.mixup.Mixture`).

    An auxiliary head's values are divided by the weights of the logits' own loss, so that there is one sum of weights
    for all of them.
    """
    samples = len(parts[0][1].inputs)
    terms = [(share, _means(task.loss(output.logits, batch), samples)) for share, batch in parts]
    heads = [(weight, head) for weight, head in output.heads if head.requires_grad]
    more = [
        (weight * share, _means(task.loss(head, batch), samples)) for weight, head in heads for share, batch in parts
    ]
    mean = torch.stack([share * value for share, (value, _) in terms + more]).sum()
    if all(weight is None for _, (_, weight) in terms):
        return PieceLoss(mean, float(samples))
    weight = torch.stack(
        [share * (torch.ones_like(value) if weight is None else weight) for share, (value, weight) in terms]
    ).sum()
    return PieceLoss(mean / weight, samples * weight)


def _means(loss: Tensor | Loss, samples: int) -> tuple[Tensor, Tensor | None]:
    """The mean weighted value of the samples, and their mean weight; None where each counts one, as in a loss that is a
    mean already."""
    if not isinstance(loss, Loss):
        return loss, None
    values, weights = loss
    if any(each is not None and each.shape != (samples,) for each in loss):
        shapes = " and ".join(str(tuple(each.shape)) for each in loss if each is not None)
        raise PluginError(
            f"the task's loss has the shape {shapes}, where one value a sample is due: ({samples},)",
            fix="report it to the authors",
        )
    return (values.mean(), None) if weights is None else ((values * weights.detach()).mean(), weights.detach().mean())


def additivity_fault(task: Task, logits: Tensor, batch: Batch) -> str | None:
    """How the loss of these samples differs from that of two pieces of them, of different sizes, taken together; None
    where it does not."""
    whole, cut = piece_loss(task, Auxiliary(logits, ()), [(1.0, batch)]), len(logits) // 2 + 1
    pieces = [
        piece_loss(task, Auxiliary(logits[rows], ()), [(1.0, _rows(batch, rows))])
        for rows in (slice(None, cut), slice(cut, None))
    ]
    weight = sum(float(each.weight) for each in pieces)
    together = sum(float(each.mean) * float(each.weight) for each in pieces) / weight
    if abs(together - float(whole.mean)) <= AGREEMENT * max(1.0, abs(float(whole.mean))):
        return None
    return (
        f"the loss of {len(logits)} samples is {float(whole.mean):.6g}, and that of two pieces of them {together:.6g}"
    )


def _rows(batch: Batch, rows: slice) -> Batch:
    return Batch(batch.inputs[rows], None if batch.labels is None else batch.labels[rows], batch.indices[rows])
