"""The task: binary cross-entropy, in which a label that is present weighs as much as it costs to miss it, and for each
label the threshold of the lowest cost on the validation split.

C. Elkan: The foundations of cost-sensitive learning (2001): with these weights, the best threshold of a calibrated
network is 0.5. So that is the threshold until one is fitted.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from torch.nn import functional as F

from zoo import api
from zoo.errors import UsageError
from zoo.plugin import decide
from zoo_screening.options import ScreeningOptions

THRESHOLDS = np.arange(1, 100) / 100


class Screening(api.Task[ScreeningOptions]):
    monitor = api.Monitor("lowest_cost", "min")

    @classmethod
    def statistics(cls, options: ScreeningOptions, target: api.Target, train: api.PartView) -> api.JSON:
        del train  # the costs are given
        names = api.target_names(target)
        unknown = sorted(set(options.miss_costs) - set(names))
        if unknown:
            raise UsageError(
                f"there is no label '{unknown[0]}'", where="task.miss_costs", fix=f"name one of {', '.join(names)}"
            )
        return {"miss": [options.miss_costs.get(name, options.miss_cost) for name in names]}

    def loss(self, outputs: api.Outputs, batch: api.Batch) -> api.Loss:
        logits = outputs[api.MAIN_OUTPUT].float()
        weights, truth = self.constants(logits, "miss")[0], batch.targets.to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, truth, reduction="none", pos_weight=weights)
        return api.Loss(losses.mean(1))  # (B, K) → (B,)

    def decision(self, val: api.EvaluationResult | None) -> api.Sigmoid:
        names = api.target_names(self.target)
        return api.Sigmoid(classes=names, thresholds=[0.5] * len(names) if val is None else val.details["thresholds"])

    def evaluator(self, decision: api.Decision) -> api.Evaluator:
        return Costs(decision, np.array(self.stats["miss"]))


class Costs(api.Evaluator):
    """The mean cost of an image, with the decision's thresholds and with those of the lowest cost."""

    def __init__(self, decision: api.Decision, miss: np.ndarray) -> None:
        self._decision, self._miss, self._parts = decision, miss, list[tuple[np.ndarray, np.ndarray]]()

    def update(self, outputs: api.Outputs, batch: api.Batch) -> None:
        self._parts.append((decide(outputs[api.MAIN_OUTPUT], self._decision), batch.targets.cpu().numpy() > 0))

    def merge(self, other: Self) -> None:
        self._parts += other._parts

    def compute(self) -> api.EvaluationResult:
        probabilities, truth = (np.concatenate(each) for each in zip(*self._parts, strict=True))  # (N, K) each
        found = probabilities >= np.array(self._decision.thresholds)
        costs = self.costs(found, truth)
        by_threshold = np.stack([self.costs(probabilities >= each, truth).mean(0) for each in THRESHOLDS])  # (99, K)
        metrics = {
            "cost": costs.sum(1).mean(),
            "sensitivity": (found & truth).sum() / max(1, truth.sum()),
            "precision": (found & truth).sum() / max(1, found.sum()),
            "lowest_cost": by_threshold.min(0).sum(),
        }
        return api.EvaluationResult(
            {name: float(value) for name, value in metrics.items()},
            {"cost": costs.sum(1)},
            {"thresholds": THRESHOLDS[by_threshold.argmin(0)].tolist()},
        )

    def costs(self, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """float64 (N, K)."""
        return self._miss * (truth & ~found) + (found & ~truth)
