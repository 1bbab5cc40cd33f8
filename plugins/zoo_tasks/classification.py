"""Classification: every parameter is trained by cross-entropy; judged by loss, accuracy and a confusion matrix.

Networks return logits; the log-softmax is the loss's, so that ``cross_entropy(logits)`` is the reference's NLL of a log-softmax.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_confusion_matrix

from zoo import plots
from zoo.api import Batch, DataView, Evaluation, Monitor, PartView
from zoo.evaluation import collect, write_predictions


class Classification:
    """The implementation of `zoo.api.Task`."""

    monitor = Monitor("accuracy", "max")

    def prepare(self, model: nn.Module, data: DataView) -> tuple[nn.Module, dict[str, Any]]:
        return model, {}

    def restructure(self, model: nn.Module, structure: dict[str, Any]) -> nn.Module:
        return model

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, _labels(batch.labels))

    def evaluate(self, model: nn.Module, batches: Iterable[Batch], classes: Sequence[str]) -> Evaluation:
        """Metrics are computed on the device, over all samples at once."""
        logits, labels = collect(model, batches)
        if labels is None:
            return Evaluation({}, logits.cpu().numpy(), None)
        count = len(classes)
        confusion = multiclass_confusion_matrix(logits, labels, num_classes=count)
        metrics = {
            "accuracy": confusion.trace().item() / len(labels),
            "loss": F.cross_entropy(logits, labels).item(),
        }
        return Evaluation(metrics, logits.cpu().numpy(), labels.cpu().numpy(), {"confusion": confusion.tolist()})

    def report(self, evaluation: Evaluation, part: PartView, classes: Sequence[str], directory: Path) -> None:
        """confusion.png, predictions.png, mistakes.png in ``directory``/plots, and predictions.csv."""
        write_predictions(directory / "predictions.csv", evaluation, part, classes)
        if evaluation.labels is None:
            return
        figures = directory / "plots"
        accuracy = evaluation.metrics["accuracy"]
        plots.confusion(figures / "confusion.png", evaluation.details["confusion"], classes, f"accuracy {accuracy:.2%}")
        probabilities = torch.from_numpy(evaluation.outputs).softmax(1).numpy()
        guesses = probabilities.argmax(1)
        first = range(min(20, len(part)))
        plots.predictions(figures / "predictions.png", part, first, probabilities, evaluation.labels, classes, "predictions")
        wrong = [index for index in range(len(part)) if guesses[index] != evaluation.labels[index]]
        worst = sorted(wrong, key=lambda index: -probabilities[index].max())[:20]
        title = f"the most confident of {len(wrong)} mistakes in {len(part)}"
        plots.predictions(figures / "mistakes.png", part, worst, probabilities, evaluation.labels, classes, title)


def _labels(labels: Tensor | None) -> Tensor:
    if labels is None:
        raise ValueError("classification is trained on labelled pictures")
    return labels


def build() -> Classification:
    return Classification()
