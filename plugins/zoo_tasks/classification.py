"""Classification: every parameter is trained by cross-entropy; judged by accuracy and what else `zoo_tasks.metrics`
has.

Networks return logits; the log-softmax is the loss's, so that ``cross_entropy(logits)`` is the reference's NLL of a
log-softmax.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.api import Batch, DataView, Evaluation, Loss, Monitor, PartView, ReportItem
from zoo.errors import DataError, UsageError
from zoo.plugin import collect
from zoo_tasks.drawing import write_report
from zoo_tasks.metrics import classification_metrics

ClassWeights = Literal["balanced"] | Sequence[float] | None


class Classification:
    """The implementation of `zoo.api.Task`."""

    monitor = Monitor("accuracy", "max")

    def __init__(self, label_smoothing: float = 0.0, class_weights: ClassWeights = None) -> None:
        self._smoothing, self._asked = label_smoothing, class_weights
        self.class_weights: Tensor | None = None

    def prepare(self, model: nn.Module, data: DataView) -> tuple[nn.Module, dict[str, Any]]:
        """The model stays as it is; the weights of the classes are settled by the train split."""
        self.class_weights = settle_weights(self._asked, data)
        return model, {}

    def restructure(self, model: nn.Module, structure: dict[str, Any]) -> nn.Module:
        return model

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Cross-entropy of each sample in float32; where classes are weighted, that of its label is the sample's
        weight."""
        if batch.labels is None:
            raise ValueError("classification is trained on labelled pictures")
        if self.class_weights is not None and self.class_weights.device != logits.device:
            self.class_weights = self.class_weights.to(logits.device)
        # (B,)
        values = F.cross_entropy(
            logits.float(), batch.labels, self.class_weights, reduction="none", label_smoothing=self._smoothing
        )
        if self.class_weights is None:
            return Loss(values)
        weights = self.class_weights[batch.labels]
        return Loss(values / weights, weights)  # torch has multiplied by them, and smooths by those of all classes

    def evaluate(self, model: nn.Module, batches: Iterable[Batch], classes: Sequence[str]) -> Evaluation:
        """Over all samples at once; neither smoothing nor weights count here."""
        logits, labels = collect(model, batches)
        if labels is None:
            return Evaluation({}, logits.cpu().numpy(), None)
        metrics, details = classification_metrics(logits, labels)
        return Evaluation(metrics, logits.cpu().numpy(), labels.cpu().numpy(), details)

    def report(
        self, evaluation: Evaluation, part: PartView, classes: Sequence[str], directory: Path
    ) -> list[ReportItem]:
        return write_report(evaluation, part, classes, directory)


def settle_weights(asked: ClassWeights, data: DataView) -> Tensor | None:
    """A weight for each class, float32 (K,).

    Raises UsageError for a wrong number of them, DataError where a class to balance has no sample.
    """
    if asked is None:
        return None
    classes = data.classes
    if asked != "balanced":
        if len(asked) != len(classes):
            raise UsageError(
                f"{len(asked)} weights are given for {len(classes)} classes",
                where="task.class_weights",
                fix="give one for each, in their order",
            )
        return torch.tensor(asked, dtype=torch.float32)
    labels = data.parts["train"].labels
    if labels is None:
        raise DataError(
            "classes are balanced by labels, and the train split has none",
            where="task.class_weights",
            fix="leave it out",
        )
    counts = np.bincount(labels, minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        raise DataError(
            f"no training sample has the class {', '.join(map(repr, empty))}, which cannot be balanced",
            where="task.class_weights",
            fix="add pictures of it, or give the weights as numbers",
        )
    return torch.from_numpy(counts.sum() / (len(classes) * counts)).float()


def build(label_smoothing: float = 0.0, class_weights: ClassWeights = None) -> Classification:
    return Classification(label_smoothing, class_weights)
