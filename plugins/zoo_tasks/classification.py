"""Image classification with cross-entropy, evaluated with the metrics of `zoo_tasks.metrics`.

Networks return logits; the loss applies log-softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.api import (
    MAIN_OUTPUT,
    Batch,
    Classes,
    Decision,
    EvaluationResult,
    Loss,
    Monitor,
    Outputs,
    PartView,
    ReportItem,
    Softmax,
    Target,
    Task,
    target_names,
)
from zoo.errors import DataError, UsageError
from zoo_tasks.metrics import ClassificationEvaluator
from zoo_tasks.options import ClassificationOptions


class Classification(Task[ClassificationOptions]):
    monitor = Monitor("accuracy", "max")

    @classmethod
    def statistics(cls, options: ClassificationOptions, target: Target, train: PartView) -> dict[str, Any]:
        """Return the class weights, if any."""
        weights = class_weights(options, target_names(target), train)
        return {} if weights is None else {"class_weights": weights}

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        """Return the cross-entropy of each sample, float32; its weight is the class weight of its label, if any."""
        if batch.targets is None:
            raise ValueError("classification is trained on labelled images")
        weights = self._weights(outputs[MAIN_OUTPUT])
        # (B,)
        values = F.cross_entropy(
            outputs[MAIN_OUTPUT].float(),
            batch.targets,
            weights,
            reduction="none",
            label_smoothing=self.options.label_smoothing,
        )
        if weights is None:
            return Loss(values)
        # torch multiplies by the class weights, and label smoothing uses those of all classes.
        return Loss(values / weights[batch.targets], weights[batch.targets])

    def _weights(self, like: Tensor) -> Tensor | None:
        return self.constants(like, "class_weights")[0] if "class_weights" in self.stats else None

    def decision(self, val: EvaluationResult | None) -> Softmax:
        return Softmax(classes=target_names(self.target))

    def evaluator(self, decision: Decision) -> ClassificationEvaluator:
        """Return an evaluator without label smoothing and class weights."""
        return ClassificationEvaluator(len(target_names(self.target)))

    def report(self, result: EvaluationResult, part: PartView, directory: Path) -> list[ReportItem]:
        if not isinstance(self.target, Classes) or result.outputs is None:
            return []
        from zoo_tasks.drawing import write_report  # with matplotlib, which no step of the training waits for

        return write_report(result, part, self.target.names, directory)


def class_weights(options: ClassificationOptions, classes: Sequence[str], train: PartView) -> list[float] | None:
    """Return a weight for each class, rounded to float32.

    Raises UsageError for a wrong number of weights, DataError if a class to balance has no samples.
    """
    asked = options.class_weights
    if asked is None:
        return None
    if asked != "balanced":
        if len(asked) != len(classes):
            raise UsageError(
                f"there are {len(asked)} weights for {len(classes)} classes",
                where="task.class_weights",
                fix="give one for each, in their order",
            )
        return torch.tensor(asked, dtype=torch.float32).tolist()
    labels = train.targets
    if labels is None:
        raise DataError(
            "class_weights=balanced needs labels, but the train split has none",
            where="task.class_weights",
            fix="leave it out",
        )
    counts = np.bincount(labels, minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        raise DataError(
            f"no training sample has the class {', '.join(map(repr, empty))}, which cannot be balanced",
            where="task.class_weights",
            fix="add images of it, or give the weights as numbers",
        )
    return torch.from_numpy(counts.sum() / (len(classes) * counts)).float().tolist()
