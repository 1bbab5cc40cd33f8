"""The task: three outputs for each number, its lower quantile, its median and its upper quantile.

The network is trained with the pinball loss. Then the intervals are shifted, so that they contain the stated fraction
of the validation split (Y. Romano, E. Patterson, E. Candès: Conformalized quantile regression, 2019, equations 6 to 8).
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import torch
from torch import Tensor

from zoo import api
from zoo.plugin import decide
from zoo_intervals.options import IntervalsOptions


class Intervals(api.Task[IntervalsOptions]):
    monitor = api.Monitor("loss", "min")

    @classmethod
    def statistics(cls, options: IntervalsOptions, target: api.Target, train: api.PartView) -> api.JSON:
        del options, target  # only the numbers count
        numbers = np.asarray(train.targets, np.float64)  # (N, D)
        return {"mean": numbers.mean(0).tolist(), "sd": np.maximum(numbers.std(0), 1e-6).tolist()}

    def num_outputs(self) -> int:
        return 3 * len(api.target_names(self.target))

    def pinball(self, output: Tensor, numbers: Tensor) -> Tensor:
        """Return the loss of each sample (B,), of standardised numbers (B, D); the output is (B, 3·D)."""
        mean, sd = self.constants(output, "mean", "sd")
        outside = (1 - self.options.coverage) / 2
        quantiles = torch.tensor([outside, 0.5, 1 - outside], device=output.device)
        errors = ((numbers - mean) / sd)[..., None] - output.float().unflatten(1, (-1, 3))  # (B, D, 3)
        return torch.maximum(quantiles * errors, (quantiles - 1) * errors).mean((1, 2))

    def loss(self, outputs: api.Outputs, batch: api.Batch) -> api.Loss:
        return api.Loss(self.pinball(outputs[api.MAIN_OUTPUT], batch.targets))

    def decision(self, val: api.EvaluationResult | None) -> api.Affine:
        """Numbers in their units; the shift of their intervals is fitted on the validation split, otherwise 0."""
        names, mean, sd = api.target_names(self.target), self.stats["mean"], self.stats["sd"]
        shifts = [0.0] * len(names) if val is None else val.details["shift"]
        offsets = [each + sign * shift for each, shift in zip(mean, shifts, strict=True) for sign in (-1, 0, 1)]
        return api.Affine(
            names=[name + end for name in names for end in ("_low", "", "_high")],
            units=[unit for unit in getattr(self.target, "units", ()) for _ in range(3)],
            scale=np.repeat(sd, 3).tolist(),
            offset=offsets,
        )

    def evaluator(self, decision: api.Decision) -> api.Evaluator:
        return Coverage(self, decision)


class Coverage(api.Evaluator):
    def __init__(self, task: Intervals, decision: api.Decision) -> None:
        self._task, self._decision, self._parts = task, decision, list[tuple[Tensor, Tensor]]()

    def update(self, outputs: api.Outputs, batch: api.Batch) -> None:
        self._parts.append((outputs[api.MAIN_OUTPUT].cpu(), batch.targets.cpu()))

    def merge(self, other: Self) -> None:
        self._parts += other._parts

    def compute(self) -> api.EvaluationResult:
        output, numbers = (torch.cat(each) for each in zip(*self._parts, strict=True))
        truth, loss = numbers.numpy(), self._task.pinball(output, numbers)
        low, middle, high = np.moveaxis(self._bounds(output, self._decision), -1, 0)  # (N, D) each
        within = (low <= truth) & (truth <= high)
        errors = np.abs(middle - truth)
        metrics = {"mae": errors.mean(), "coverage": within.mean(), "width": (high - low).mean(), "loss": loss.mean()}
        low, _, high = np.moveaxis(self._bounds(output, self._task.decision(None)), -1, 0)
        scores = np.sort(np.maximum(low - truth, truth - high), axis=0)  # how far outside: below 0 within the interval
        place = math.ceil((len(scores) + 1) * self._task.options.coverage) - 1
        return api.EvaluationResult(
            {name: float(value) for name, value in metrics.items()},
            {"error": errors.mean(1), "width": (high - low).mean(1)},
            {"shift": scores[min(place, len(scores) - 1)].tolist()},
        )

    @staticmethod
    def _bounds(output: Tensor, decision: api.Decision) -> np.ndarray:
        return decide(output, decision).reshape(len(output), -1, 3)
