"""Distillation: a teacher's answers are learned beside the targets (G. Hinton, O. Vinyals, J. Dean: Distilling the
knowledge in a neural network, 2015).

The teacher sees the pixels that the network sees, after augmentation and mixing; where the network is trained on cached
features, the teacher's answers are computed once from the images, and looked up by sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.api import Batch, Loss, PartView, Target, Teacher

ANSWER = "output"
"""The name of a teacher's outputs in a `Batch`."""


@dataclass
class Distillation:
    """``teacher`` in eval mode, on the device; ``prepare`` brings the network's inputs to its own."""

    teacher: Teacher
    target: Target
    prepare: Callable[[Tensor], Tensor] = field(default=lambda inputs: inputs)
    table: Tensor | None = None
    """Its answers to each sample of the train split, where inputs are cached features."""

    def attached(self, batch: Batch, inputs: Tensor) -> Batch:
        """``batch`` with the teacher's answers to ``inputs``, which may be mixed from several batches."""
        return batch._replace(teacher={ANSWER: self._answers(batch, inputs)})

    def _answers(self, batch: Batch, inputs: Tensor) -> Tensor:
        if self.table is not None:
            return self.table[batch.indices]
        with torch.no_grad():
            return _main(self.teacher.model(self.prepare(inputs))).float()

    def tabulate(self, part: PartView, batch_size: int) -> None:
        """Compute the teacher's answers to every sample once."""
        with torch.no_grad():
            answers = [_main(self.teacher.model(self.prepare(batch.inputs))) for batch in part.batches(batch_size)]
        self.table = torch.cat([answer.float() for answer in answers])

    def taught(self, loss: Loss, output: Tensor, batch: Batch) -> Loss:
        """The loss with the distance to the teacher's answers in it, by its share."""
        if batch.teacher is None or self.teacher.share == 0:
            return loss
        share, temperature = self.teacher.share, self.teacher.temperature
        distances = distance(self.target, output.float(), batch.teacher[ANSWER], temperature)
        return Loss((1 - share) * loss.values + share * temperature**2 * distances, loss.weights)


def distance(target: Target, output: Tensor, answer: Tensor, temperature: float) -> Tensor:
    """Of an output to a teacher's, for each sample (B,): the Kullback-Leibler divergence of the classes at the
    temperature (of pixels: their mean; of labels: that of each label, their mean), and for numbers the mean squared
    difference, divided by T²."""
    match target.kind:
        case "classes" | "mask":
            taught = F.log_softmax(answer / temperature, 1)
            found = F.kl_div(F.log_softmax(output / temperature, 1), taught, reduction="none", log_target=True).sum(1)
            return found.flatten(1).mean(1) if found.ndim > 1 else found
        case "multi_label":
            pairs = [torch.stack([-each, each], -1) / (2 * temperature) for each in (output, answer)]
            mine, taught = (F.log_softmax(each, -1) for each in pairs)
            return F.kl_div(mine, taught, reduction="none", log_target=True).sum(-1).mean(1)
        case _:
            return (output - answer).square().flatten(1).mean(1) / temperature**2


def _main(given: Tensor | dict[str, Tensor]) -> Tensor:
    return given if isinstance(given, Tensor) else next(iter(given.values()))


def on_device(teacher: Teacher, device: torch.device) -> nn.Module:
    """The teacher's network, where it is used: in eval mode, and learning nothing."""
    return teacher.model.to(device).eval().requires_grad_(False)
