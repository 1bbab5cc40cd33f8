"""An evaluator made of torchmetrics, over what a decision makes of the outputs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import torch
import torchmetrics
from torch import Tensor

from zoo import runtime
from zoo.api import Batch, Decision, EvaluationResult, Evaluator, Outputs
from zoo.errors import PluginError

Make = str | Callable[[], Any]


class MetricEvaluator(Evaluator):
    """``metrics`` are by name, best-known first: each a class of torchmetrics by its name, or a function that makes a
    metric with ``update(predictions, targets)``, ``compute()`` and torchmetrics' merging of states.

    They get decided values (of classes: probabilities) and targets, as tensors on the CPU. ``columns`` makes of both,
    as arrays of a batch, what is kept for each sample.
    """

    def __init__(
        self,
        decision: Decision,
        metrics: Mapping[str, Make],
        columns: Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]] | None = None,
    ) -> None:
        self._decision = decision.model_dump(mode="json")
        self._metrics = {name: _made(name, make) for name, make in metrics.items()}
        self._columns_of, self._updated = columns, False
        self._columns: dict[str, list[np.ndarray]] = {}

    def update(self, outputs: Outputs, batch: Batch) -> None:
        if batch.targets is None:
            raise ValueError("metrics are computed where there are targets")
        self._updated = True
        found = np.asarray(runtime.decide(_main(outputs).cpu().numpy(), self._decision))
        targets = batch.targets.cpu()
        predictions = torch.from_numpy(found)
        if predictions.is_floating_point() and targets.is_floating_point():
            predictions = predictions.to(targets.dtype)
        for metric in self._metrics.values():
            metric.update(predictions, targets)
        if self._columns_of is not None:
            for name, column in self._columns_of(found, targets.numpy()).items():
                self._columns.setdefault(name, []).append(np.asarray(column))

    def merge(self, other: Self) -> None:
        """Raises PluginError for a metric whose states torchmetrics cannot merge."""
        if not self._updated:
            self._metrics, self._updated = copy.deepcopy(other._metrics), other._updated
            self._columns = {name: list(columns) for name, columns in other._columns.items()}
            return
        for name, metric in self._metrics.items():
            try:
                metric.merge_state(other._metrics[name])
            except RuntimeError as error:
                raise PluginError(
                    f"metric '{name}' cannot be merged: {' '.join(str(error).split())}", fix="report it to the authors"
                ) from error
        for name, columns in other._columns.items():
            self._columns.setdefault(name, []).extend(columns)

    def compute(self) -> EvaluationResult:
        figures = {name: float(metric.compute()) for name, metric in self._metrics.items()}
        return EvaluationResult(figures, {name: np.concatenate(each) for name, each in self._columns.items()})


def _main(outputs: Outputs) -> Tensor:
    return next(iter(outputs.values()))


def _made(name: str, make: Make) -> Any:
    if not isinstance(make, str):
        return make()
    found = getattr(torchmetrics, make, None)
    if found is None:
        raise PluginError(f"torchmetrics has no metric '{make}', which '{name}' names", fix="report it to the authors")
    return found()
