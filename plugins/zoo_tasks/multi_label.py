"""Multi-label classification: any number of labels for each image, each by a sigmoid of its own output.

The threshold of each label is the one with the best F1 on the validation split; it is stored in the decision, used on
the test split, and part of every export.
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
    Decision,
    EvaluationResult,
    Loss,
    Monitor,
    Outputs,
    PartView,
    ReportItem,
    Sigmoid,
    Target,
    Task,
    target_names,
)
from zoo.errors import DataError, UsageError
from zoo_tasks.label_options import MultiLabelOptions
from zoo_tasks.multi_label_metrics import UNFITTED, MultiLabelEvaluator

SMALLEST = 1e-8
"""Lower bound of a probability under the logarithm, as in the authors' implementation of the asymmetric loss."""


class MultiLabelClassification(Task[MultiLabelOptions]):
    monitor = Monitor("map", "max")

    @classmethod
    def statistics(cls, options: MultiLabelOptions, target: Target, train: PartView) -> dict[str, Any]:
        """Return the weights of positive labels, if any."""
        weights = positive_weights(options, target_names(target), train)
        return {} if weights is None else {"positive_weights": weights}

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        """Return the mean loss of the labels of each sample, float32 (B,)."""
        if batch.targets is None:
            raise ValueError("multi-label classification is trained on labelled images")
        logits = outputs[MAIN_OUTPUT].float()
        truth = batch.targets.to(logits.dtype)
        weights = self.constants(logits, "positive_weights")[0] if "positive_weights" in self.stats else None
        if self.options.loss == "asymmetric":
            options = self.options
            losses = asymmetric_loss(logits, truth, options.gamma_positive, options.gamma_negative, options.margin)
            losses = losses if weights is None else losses * torch.where(truth > 0, weights, 1.0)
        else:
            losses = F.binary_cross_entropy_with_logits(logits, truth, reduction="none", pos_weight=weights)
        return Loss(losses.mean(1))  # (B, K) → (B,)

    def decision(self, val: EvaluationResult | None) -> Sigmoid:
        names, chosen = target_names(self.target), self.options.threshold
        thresholds = [UNFITTED if chosen == "f1" else chosen] * len(names)
        if chosen == "f1" and val is not None and "best_thresholds" in val.details:
            thresholds = val.details["best_thresholds"]
        return Sigmoid(classes=names, thresholds=tuple(thresholds))

    def evaluator(self, decision: Decision) -> MultiLabelEvaluator:
        """Return an evaluator without weights; its loss is binary cross-entropy, however the network was trained."""
        if not isinstance(decision, Sigmoid):
            raise TypeError(f"multi-label classification decides by sigmoid, not by {decision.kind}")
        return MultiLabelEvaluator(decision)

    def report(self, result: EvaluationResult, part: PartView, directory: Path) -> list[ReportItem]:
        if result.outputs is None:
            return []
        from zoo_tasks.multi_label_report import (
            write_report,  # with matplotlib, which no step of the training waits for
        )

        return write_report(result, part, target_names(self.target), directory, self._origin_of_thresholds(result))

    def _origin_of_thresholds(self, result: EvaluationResult) -> str:
        if self.options.threshold != "f1":
            return "the thresholds are those of task.threshold"
        if set(result.details.get("per_label", {}).get("threshold", ())) == {UNFITTED}:
            return f"the thresholds are {UNFITTED:g}, because there is no validation split to choose them on"
        return "the thresholds were chosen on the validation split, for the best F1"


def asymmetric_loss(
    logits: Tensor, truth: Tensor, gamma_positive: float, gamma_negative: float, margin: float
) -> Tensor:
    """Return the asymmetric loss of each label, (B, K).

    With p = sigmoid(logit) and p_m = max(p - margin, 0), it is -(1 - p)^γ₊ · log p for labels that are present, and
    -p_m^γ₋ · log(1 - p_m) for the others (T. Ridnik et al.: Asymmetric loss for multi-label classification, 2021,
    equations 5 to 7).
    """
    present = torch.sigmoid(logits)
    absent = (torch.sigmoid(-logits) + margin).clamp(max=1)  # 1 - p_m, exact for large logits, too
    losses_present = -((1 - present) ** gamma_positive) * present.clamp_min(SMALLEST).log()
    losses_absent = -((1 - absent).clamp_min(0) ** gamma_negative) * absent.clamp_min(SMALLEST).log()
    return truth * losses_present + (1 - truth) * losses_absent


def positive_weights(options: MultiLabelOptions, labels: Sequence[str], train: PartView) -> list[float] | None:
    """Return a weight for the positives of each label, rounded to float32.

    Raises UsageError for a wrong number of weights, DataError if a label to balance is on no training image.
    """
    asked = options.positive_weights
    if asked is None:
        return None
    where = "task.positive_weights"
    if asked != "balanced":
        if len(asked) != len(labels):
            raise UsageError(
                f"there are {len(asked)} weights for {len(labels)} labels",
                where=where,
                fix="give one for each, in their order",
            )
        return torch.tensor(asked, dtype=torch.float32).tolist()
    if train.targets is None:
        raise DataError(
            "positive_weights=balanced needs labels, but the train split has none", where=where, fix="leave it out"
        )
    positives = np.asarray(train.targets, np.int64).sum(0)
    empty = [name for name, count in zip(labels, positives, strict=True) if count == 0]
    if empty:
        raise DataError(
            f"no training image has the label {', '.join(map(repr, empty))}, which cannot be balanced",
            where=where,
            fix="add images with it, or give the weights as numbers",
        )
    return torch.from_numpy((len(train) - positives) / positives).clamp_min(1e-6).float().tolist()
