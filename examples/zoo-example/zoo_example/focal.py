"""Classification by focal loss: cross-entropy in which a sample of probability p counts (1 - p)^gamma times (Lin et al.
2017, eq. 4)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.api import Batch, DataView, Evaluation, Loss, Monitor, PartView


class Focal:
    """The implementation of `zoo.api.Task`."""

    monitor = Monitor("accuracy", "max")

    def __init__(self, gamma: float) -> None:
        self._gamma = gamma

    def prepare(self, model: nn.Module, data: DataView) -> tuple[nn.Module, dict[str, Any]]:
        """The model is trained as it is, so there is nothing to write down for `restructure`."""
        del data
        return model, {}

    def restructure(self, model: nn.Module, structure: dict[str, Any]) -> nn.Module:
        del structure
        return model

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Of each sample: the trainer takes the mean, also of a batch that is computed in pieces."""
        if batch.labels is None:
            raise ValueError("focal loss needs labels")
        return Loss(self._focal(logits, batch.labels))

    def evaluate(self, model: nn.Module, batches: Iterable[Batch], classes: Sequence[str]) -> Evaluation:
        """Accuracy, overall and of each class, and the loss."""
        outputs, truths = [], []
        for batch in batches:
            outputs.append(model(batch.inputs).float())
            if batch.labels is not None:
                truths.append(batch.labels)
        logits = torch.cat(outputs)  # (N, K)
        if not truths:
            return Evaluation({}, logits.cpu().numpy(), None)
        labels = torch.cat(truths)  # (N,)
        right = logits.argmax(1) == labels
        metrics = {"accuracy": right.float().mean().item(), "loss": self._focal(logits, labels).mean().item()}
        recalls = {
            name: right[labels == index].float().mean().item()
            for index, name in enumerate(classes)
            if (labels == index).any()
        }
        return Evaluation(metrics, logits.cpu().numpy(), labels.cpu().numpy(), {"recall": recalls})

    def report(self, evaluation: Evaluation, part: PartView, classes: Sequence[str], directory: Path) -> None:
        """predictions.csv: each sample, its truth and what it was taken for."""
        guesses = evaluation.outputs.argmax(1)
        truths = [
            "" if evaluation.labels is None else classes[int(evaluation.labels[index])] for index in range(len(part))
        ]
        with (directory / "predictions.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["sample", "truth", "prediction"])
            writer.writerows(
                (name, truth, classes[int(guess)])
                for name, truth, guess in zip(part.names, truths, guesses, strict=True)
            )

    def _focal(self, logits: Tensor, labels: Tensor) -> Tensor:
        surprise = F.cross_entropy(logits, labels, reduction="none")  # (N,), -log p
        return (1 - torch.exp(-surprise)) ** self._gamma * surprise


def build(*, gamma: float) -> Focal:
    """The target of the spec."""
    return Focal(gamma)
