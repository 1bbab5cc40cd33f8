"""Knowledge distillation: train on a teacher's outputs in addition to the targets (G. Hinton, O. Vinyals, J. Dean:
Distilling the knowledge in a neural network, 2015).

The teacher receives the same images as the network, after augmentation and mixing. If the network is trained on cached
features, the teacher's outputs are computed once from the images and looked up by sample.
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
    """A teacher in eval mode on the device; ``reader`` returns its main output; ``prepare`` converts the network's
    inputs into the teacher's."""

    teacher: Teacher
    target: Target
    reader: OutputReader = field(default_factory=OutputReader)
    prepare: Callable[[Tensor], Tensor] = field(default=lambda inputs: inputs)
    convert: Callable[[Tensor], Tensor] = field(default=lambda outputs: outputs)
    """Converts its outputs to the scale of the network's, if they are standardised by another train split."""
    table: Tensor | None = None
    """Its outputs for each sample of the train split, if inputs are cached features."""
    digest: str | None = None
    """The digest of its weights, if it is a run: resuming is exact only with the same teacher."""

    def attached(self, parts: Sequence[tuple[float, Batch]], inputs: Tensor) -> list[tuple[float, Batch]]:
        """Return ``parts`` with the teacher's outputs for ``inputs``, which may be mixed from several batches."""
        if self.table is not None:
            return [(share, batch._replace(teacher={MAIN_OUTPUT: self.table[batch.indices]})) for share, batch in parts]
        answers = self._answers(inputs)
        return [(share, batch._replace(teacher={MAIN_OUTPUT: answers})) for share, batch in parts]

    def _answers(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return self.convert(self.reader.main_of(self.teacher.model(self.prepare(inputs))).float())

    def tabulate(self, part: PartView, batch_size: int) -> None:
        """Compute and store the teacher's outputs for every sample."""
        self.table = torch.cat([self._answers(batch.inputs) for batch in part.batches(batch_size)])

    def taught(self, loss: Loss, output: Tensor, batch: Batch) -> Loss:
        """Return the loss combined with the distance to the teacher's outputs, by its share."""
        if batch.teacher is None or self.teacher.share == 0:
            return loss
        share, temperature = self.teacher.share, self.teacher.temperature
        distances = distance(self.target, output.float(), batch.teacher[MAIN_OUTPUT], temperature)
        return Loss((1 - share) * loss.values + share * temperature**2 * distances, loss.weights)


def distance(target: Target, output: Tensor, answer: Tensor, temperature: float) -> Tensor:
    """Return the distance of an output to the teacher's, for each sample, (B,).

    For classes, it is the Kullback-Leibler divergence at the temperature (for masks, the mean over pixels; for
    multi-label targets, the mean over labels). For numbers, it is the mean squared difference divided by T². A
    teacher's map of another size is resized (bilinear).
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
    """Return the teacher's network on the device, in eval mode and without gradients."""
    return teacher.model.to(device).eval().requires_grad_(False)


def weights_digest(model: nn.Module) -> str:
    """Return a digest of all weights and buffers, with their names."""
    found = hashlib.blake2b(digest_size=16)
    for name, tensor in model.state_dict().items():
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
