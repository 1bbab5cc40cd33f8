"""An evaluator made of torchmetrics, over what a decision makes of the outputs."""

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
    """``metrics`` are by name, best-known first: each a class of torchmetrics by its name, or a function that makes a
    metric with ``update(predictions, targets)``, ``compute()`` and torchmetrics' merging of states.

    They get what `zoo.api.Metric` says, on the CPU. ``columns`` makes of the same, as arrays of a batch, what is kept
    for each sample.
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
            raise ValueError("metrics are computed where there are targets")
        self._updated = True
        found, targets = predictions(outputs[MAIN_OUTPUT], self._decision), batch.targets.cpu()
        for metric in self._metrics.values():
            metric.update(found, targets)
        if self._columns_of is not None:
            for name, column in self._columns_of(found.numpy(), targets.numpy()).items():
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


def _made(name: str, make: Make) -> Any:
    if not isinstance(make, str):
        return make()
    found = getattr(torchmetrics, make, None)
    if found is None:
        raise PluginError(f"torchmetrics has no metric '{make}', which '{name}' names", fix="report it to the authors")
    return found()
