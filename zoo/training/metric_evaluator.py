"""An evaluator that applies torchmetrics to the predictions of a decision."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import torchmetrics

from zoo.api import MAIN_OUTPUT, Batch, Decision, EvaluationResult, Evaluator, Outputs
from zoo.errors import PluginError
from zoo.models.decided import predictions

Make = str | Callable[[], Any]


class MetricEvaluator(Evaluator):
    """An evaluator from ``metrics`` by name, best known first.

    A metric is the name of a torchmetrics class, or a function that returns a metric with ``update(preds, target)``,
    ``compute()`` and torchmetrics' merging of states. Its inputs are those of `zoo.api.Metric`, on the CPU. ``columns``
    computes the per-sample columns from the same inputs, as arrays of a batch.
    """

    def __init__(
        self,
        decision: Decision,
        metrics: Mapping[str, Make],
        columns: Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]] | None = None,
    ) -> None:
        self._decision = decision
        self._metrics = {name: _made(name, make) for name, make in metrics.items()}
        self._columns_of, self._updated = columns, False
        self._columns: dict[str, list[np.ndarray]] = {}

    def update(self, outputs: Outputs, batch: Batch) -> None:
        if batch.targets is None:
            raise ValueError("metrics need targets")
        self._updated = True
        found, targets = predictions(outputs[MAIN_OUTPUT], self._decision), batch.targets.cpu()
        for metric in self._metrics.values():
            metric.update(found, targets)
        if self._columns_of is not None:
            for name, column in self._columns_of(found.numpy(), targets.numpy()).items():
                self._columns.setdefault(name, []).append(np.asarray(column))

    def merge(self, other: Self) -> None:
        """Add the state of another evaluator. Raises PluginError for a metric that torchmetrics cannot merge."""
        if not self._updated:
            self._metrics, self._updated = copy.deepcopy(other._metrics), other._updated
            self._columns = {name: list(columns) for name, columns in other._columns.items()}
            return
        for name, metric in self._metrics.items():
            try:
                metric.merge_state(other._metrics[name])
            except RuntimeError as error:
                raise PluginError(f"metric '{name}' cannot be merged: {' '.join(str(error).split())}") from error
        for name, columns in other._columns.items():
            self._columns.setdefault(name, []).extend(columns)

    def compute(self) -> EvaluationResult:
        figures = {name: float(metric.compute()) for name, metric in self._metrics.items()}
        return EvaluationResult(figures, {name: np.concatenate(each) for name, each in self._columns.items()})


def _made(name: str, make: Make) -> Any:
    if not isinstance(make, str):
        return make()
    found = getattr(torchmetrics, make, None)
    if found is None:
        raise PluginError(f"metric '{name}': torchmetrics has no class '{make}'")
    return found()
