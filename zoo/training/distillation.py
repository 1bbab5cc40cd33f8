"""Distillation: a teacher's answers are learned beside the targets (G. Hinton, O. Vinyals, J. Dean: Distilling the
knowledge in a neural network, 2015).

The teacher sees the pixels that the network sees, after augmentation and mixing; where the network is trained on cached
features, the teacher's answers are computed once from the images, and looked up by sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.api import MAIN_OUTPUT, Batch, Loss, PartView, Target, Teacher
from zoo.models.named_outputs import OutputReader


@dataclass
class Distillation:
    """``teacher`` in eval mode, on the device; ``reader`` finds its main output; ``prepare`` brings the network's
    inputs to its own."""

    teacher: Teacher
    target: Target
    reader: OutputReader = field(default_factory=OutputReader)
    prepare: Callable[[Tensor], Tensor] = field(default=lambda inputs: inputs)
    convert: Callable[[Tensor], Tensor] = field(default=lambda outputs: outputs)
    """Brings its outputs to the scale of the network's, where they are numbers in other units of the train split."""
    table: Tensor | None = None
    """Its answers to each sample of the train split, where inputs are cached features."""
    digest: str | None = None
    """Of its weights, where it is a run: a training that is resumed is exact with the same teacher alone."""

    def attached(self, parts: Sequence[tuple[float, Batch]], inputs: Tensor) -> list[tuple[float, Batch]]:
        """``parts`` with the teacher's answers to ``inputs``, which may be mixed from several batches."""
        if self.table is not None:
            return [(share, batch._replace(teacher={MAIN_OUTPUT: self.table[batch.indices]})) for share, batch in parts]
        answers = self._answers(inputs)
        return [(share, batch._replace(teacher={MAIN_OUTPUT: answers})) for share, batch in parts]

    def _answers(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return self.convert(self.reader.main_of(self.teacher.model(self.prepare(inputs))).float())

    def tabulate(self, part: PartView, batch_size: int) -> None:
        """Compute the teacher's answers to every sample once."""
        self.table = torch.cat([self._answers(batch.inputs) for batch in part.batches(batch_size)])

    def taught(self, loss: Loss, output: Tensor, batch: Batch) -> Loss:
        """The loss with the distance to the teacher's answers in it, by its share."""
        if batch.teacher is None or self.teacher.share == 0:
            return loss
        share, temperature = self.teacher.share, self.teacher.temperature
        distances = distance(self.target, output.float(), batch.teacher[MAIN_OUTPUT], temperature)
        return Loss((1 - share) * loss.values + share * temperature**2 * distances, loss.weights)


def distance(target: Target, output: Tensor, answer: Tensor, temperature: float) -> Tensor:
    """Of an output to a teacher's, for each sample (B,): the Kullback-Leibler divergence of the classes at the
    temperature (of pixels: their mean; of labels: that of each label, their mean), and for numbers the mean squared
    difference, divided by T².

    A teacher's map of another size is brought to the output's (bilinear).
    """
    if output.ndim == 4 and answer.shape[2:] != output.shape[2:]:
        answer = F.interpolate(answer, output.shape[2:], mode="bilinear", align_corners=False)
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


def on_device(teacher: Teacher, device: torch.device) -> nn.Module:
    """The teacher's network, where it is used: in eval mode, and learning nothing."""
    return teacher.model.to(device).eval().requires_grad_(False)


def weights_digest(model: nn.Module) -> str:
    """A digest of all weights and buffers, by name."""
    found = hashlib.blake2b(digest_size=16)
    for name, tensor in model.state_dict().items():
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
