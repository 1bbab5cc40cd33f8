"""Regression: one or several numbers for each image, in their units.

Targets are standardised by mean and standard deviation of the train split, so that the learning rate does not depend on
their units; the decision brings predictions back to units. The quantile loss predicts one quantile of each number (the
pinball loss of R. Koenker, G. Bassett: Regression quantiles, 1978); an interval takes two runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.api import (
    MAIN_OUTPUT,
    Affine,
    Batch,
    Decision,
    EvaluationResult,
    Loss,
    Monitor,
    Outputs,
    PartView,
    ReportItem,
    Target,
    Task,
    Values,
    target_names,
)
from zoo.errors import DataError
from zoo_tasks.label_options import RegressionOptions
from zoo_tasks.regression_metrics import RegressionEvaluator


class Regression(Task[RegressionOptions]):
    monitor = Monitor("loss", "min")

    @classmethod
    def statistics(cls, options: RegressionOptions, target: Target, train: PartView) -> dict[str, Any]:
        """Return ``scale`` and ``offset`` of each number: wanted output = (number - offset) / scale.

        Raises DataError if a number is the same for all training images, or does not fit the link.
        """
        if train.targets is None:
            raise DataError("regression needs numbers, but the train split has none", fix="choose another dataset")
        numbers, names = np.asarray(train.targets, np.float64), target_names(target)
        constant = [name for name, column in zip(names, numbers.T, strict=True) if np.ptp(column) == 0]
        if constant:
            value = numbers[0, names.index(constant[0])]
            raise DataError(
                f"'{constant[0]}' is {value:g} for all training images; there is nothing to learn",
                fix="leave it out, or add images with other values",
            )
        deviation = numbers.std(0).tolist()
        if options.link == "identity":
            return {"scale": deviation, "offset": numbers.mean(0).tolist()}
        low, high = (0.0, np.inf) if options.link == "exp" or options.clip is None else options.clip
        outside = (numbers <= low).any(0) if options.link == "exp" else ((numbers < low) | (numbers > high)).any(0)
        if outside.any():
            name = names[int(outside.argmax())]
            range_ = "positive" if options.link == "exp" else f"between {low:g} and {high:g}"
            raise DataError(
                f"'{name}' has training values that are not {range_}, which link={options.link} cannot predict",
                where="task.link",
                fix="use link=identity, or another clip",
            )
        if options.link == "exp":
            return {"scale": deviation, "offset": [0.0] * len(names)}
        return {"scale": [high - low] * len(names), "offset": [low] * len(names)}

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        """Return the mean loss of the numbers of each sample, float32 (B,), in standardised units."""
        if batch.targets is None:
            raise ValueError("regression is trained on labelled images")
        return Loss(self._losses(outputs[MAIN_OUTPUT], batch.targets).mean(1))  # (B, D) → (B,)

    def _losses(self, output: Tensor, numbers: Tensor) -> Tensor:
        """Return the loss of each number, float32 (B, D)."""
        scale, offset = self.constants(output, "scale", "offset")
        found, wanted = self._linked(output.float()), (numbers - offset) / scale
        match self.options.loss:
            case "l1":
                return F.l1_loss(found, wanted, reduction="none")
            case "huber":
                return F.huber_loss(found, wanted, reduction="none", delta=self.options.delta)
            case "quantile":
                return pinball_loss(found, wanted, self.options.quantile)
            case _:
                return F.mse_loss(found, wanted, reduction="none")

    def _linked(self, output: Tensor) -> Tensor:
        if self.options.link == "exp":
            return output.exp()
        return output.sigmoid() if self.options.link == "sigmoid" else output

    def decision(self, val: EvaluationResult | None) -> Affine:
        return Affine(
            names=target_names(self.target),
            units=self.target.units if isinstance(self.target, Values) else (),
            scale=tuple(self.stats["scale"]),
            offset=tuple(self.stats["offset"]),
            link=self.options.link,
            clip=self.options.clip,
        )

    def evaluator(self, decision: Decision) -> RegressionEvaluator:
        """Return an evaluator of the decision's numbers; its loss is the training loss."""
        quantile = self.options.quantile if self.options.loss == "quantile" else None
        return RegressionEvaluator(decision, target_names(self.target), self._losses, quantile)

    def report(self, result: EvaluationResult, part: PartView, directory: Path) -> list[ReportItem]:
        if result.outputs is None or not isinstance(self.target, Values):
            return []
        from zoo_tasks.regression_report import write_report  # with matplotlib, which no step of the training waits for

        return write_report(result, part, self.target, self.decision(None), directory)


def pinball_loss(found: Tensor, wanted: Tensor, quantile: float) -> Tensor:
    """Return max(q · e, (q - 1) · e) with the error e = wanted - found, whose minimiser is the quantile q."""
    error = wanted - found
    return torch.maximum(quantile * error, (quantile - 1) * error)
