"""The task: the classes are in order, and the loss compares cumulative probabilities (L. Hou, C. Yu, D. Samaras:
Squared earth mover's distance-based loss for training deep neural networks, 2016)."""

from __future__ import annotations

import numpy as np
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy, MulticlassCohenKappa

from zoo import api
from zoo.plugin import MetricEvaluator


class Grades(api.Task[api.Options]):
    monitor = api.Monitor("quadratic_kappa", "max")

    def loss(self, outputs: api.Outputs, batch: api.Batch) -> api.Loss:
        probabilities = outputs[api.MAIN_OUTPUT].float().softmax(1)  # (B, K)
        truth = F.one_hot(batch.targets, probabilities.shape[1])
        return api.Loss((probabilities - truth).cumsum(1).square().sum(1))

    def decision(self, val: api.EvaluationResult | None) -> api.Softmax:
        return api.Softmax(classes=api.target_names(self.target))

    def evaluator(self, decision: api.Decision) -> api.Evaluator:
        count = len(api.target_names(self.target))
        metrics = {
            "quadratic_kappa": lambda: MulticlassCohenKappa(count, weights="quadratic"),
            "accuracy": lambda: MulticlassAccuracy(count, average="micro"),
        }
        return MetricEvaluator(decision, metrics, columns)


def columns(probabilities: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    """For predictions.csv: by how many grades the prediction is too high, (N,)."""
    return {"grades_off": probabilities.argmax(1) - targets}
