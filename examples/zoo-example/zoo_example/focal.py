"""Classification by focal loss: cross-entropy in which a sample of probability p counts (1 - p)^gamma times (Lin et al.
2017, eq. 4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.api import Batch, Decision, EvaluationResult, Evaluator, Loss, Monitor, Outputs, Softmax, Task, target_names
from zoo_example.options import FocalOptions


class Focal(Task[FocalOptions]):
    monitor = Monitor("accuracy", "max")

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        """Return the loss of each sample; the trainer averages it, also over micro-batches."""
        if batch.targets is None:
            raise ValueError("focal loss needs labels")
        return Loss(focal(outputs["output"].float(), batch.targets, self.options.gamma))

    def decision(self, val: EvaluationResult | None) -> Softmax:
        return Softmax(classes=target_names(self.target))

    def evaluator(self, decision: Decision) -> Evaluator:
        return FocalEvaluator(self.options.gamma, target_names(self.target))


class FocalEvaluator(Evaluator):
    """Accuracy, overall and of each class, and the loss."""

    def __init__(self, gamma: float, classes: tuple[str, ...]) -> None:
        self._gamma, self._classes = gamma, classes
        self._right: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._losses: list[Tensor] = []

    def update(self, outputs: Outputs, batch: Batch) -> None:
        if batch.targets is None:
            raise ValueError("focal loss needs labels")
        logits, labels = outputs["output"], batch.targets
        self._right.append((logits.argmax(1) == labels).cpu())
        self._labels.append(labels.cpu())
        self._losses.append(focal(logits, labels, self._gamma).cpu())

    def merge(self, other: FocalEvaluator) -> None:
        self._right += other._right
        self._labels += other._labels
        self._losses += other._losses

    def compute(self) -> EvaluationResult:
        right, labels, losses = torch.cat(self._right), torch.cat(self._labels), torch.cat(self._losses)
        metrics = {"accuracy": right.float().mean().item(), "loss": losses.mean().item()}
        recalls = {
            name: right[labels == index].float().mean().item()
            for index, name in enumerate(self._classes)
            if (labels == index).any()
        }
        return EvaluationResult(metrics, {"correct": right.numpy(), "loss": losses.numpy()}, {"recall": recalls})


def focal(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """float32 (N,)."""
    surprise = F.cross_entropy(logits, labels, reduction="none")  # (N,), -log p
    return (1 - torch.exp(-surprise)) ** gamma * surprise
