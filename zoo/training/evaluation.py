"""Evaluate a network on a split, batch by batch, and write its predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo import runtime
from zoo.api import MAIN_OUTPUT, Decision, EvaluationResult, Metric, PartView, Target, Task
from zoo.data.targets import truth_cells, truth_columns
from zoo.models.decided import decide, predictions
from zoo.models.named_outputs import OutputReader
from zoo.support.atomic_files import write_csv

LARGEST_OUTPUTS = 1 << 30
"""The maximum size in bytes of the outputs that are kept with a result."""


def evaluate_part(
    model: nn.Module,
    task: Task[Any],
    decision: Decision,
    part: PartView,
    batch_size: int,
    reader: OutputReader,
    network: Callable[[Tensor], Any] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    *,
    intervals: bool = False,
) -> EvaluationResult:
    """Evaluate a network on a split, in eval mode and without gradients; the modes of its modules are restored.

    ``network`` replaces ``model`` for the forward pass, if batches are cached features; it shares the model's modules
    and mode. ``metrics`` are computed in addition to the task's. ``intervals`` adds the intervals of the metrics.
    Without targets, the result has only outputs.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), reader.reading(model, network or model) as read:
            return _streamed(task, decision, part, batch_size, read, metrics or {}, intervals=intervals)
    finally:
        for module, training in modes:
            module.training = training


def _streamed(
    task: Task[Any],
    decision: Decision,
    part: PartView,
    batch_size: int,
    read: Callable[[Tensor], dict[str, Tensor]],
    metrics: Mapping[str, Metric],
    *,
    intervals: bool,
) -> EvaluationResult:
    evaluator, kept = None, list[Tensor]()
    size, limit = 0, LARGEST_OUTPUTS
    for batch in part.batches(batch_size):
        outputs = {name: value.float() for name, value in read(batch.inputs).items()}
        if batch.targets is not None:
            evaluator = evaluator or task.evaluator(decision)
            evaluator.update(outputs, batch)
            _update(metrics, decision, outputs[MAIN_OUTPUT], batch.targets)
        size += outputs[MAIN_OUTPUT].nbytes
        kept = [*kept, outputs[MAIN_OUTPUT]] if size <= limit else []
    found = EvaluationResult({}) if evaluator is None else evaluator.compute()
    if evaluator is not None and metrics:
        more = {name: float(metric.compute()) for name, metric in metrics.items()}
        found = replace(found, metrics={**found.metrics, **more})
    if evaluator is not None and intervals:
        found = replace(found, intervals=dict(evaluator.intervals()))
    return replace(found, outputs=torch.cat(kept).cpu().numpy()) if kept and size <= limit else found


def _update(metrics: Mapping[str, Metric], decision: Decision, output: Tensor, targets: Tensor) -> None:
    """Update each metric with the predictions of the decision."""
    if metrics:
        preds = predictions(output, decision)
        for metric in metrics.values():
            metric.update(preds, targets.cpu())


def write_predictions(file: Path, result: EvaluationResult, part: PartView, target: Target, decision: Decision) -> None:
    """Write predictions.csv: sample, target (if known) and prediction. Not written if the outputs were too large to
    keep."""
    if result.outputs is None:
        return
    told, truths = decision.model_dump(mode="json"), part.targets
    answers = decide(result.outputs, decision)
    names = part.names
    rows = (
        [
            names[index],
            *truth_cells(target, None if truths is None else truths[index]),
            *runtime.cells(answers[index], told, ".6f"),
        ]
        for index in range(len(part))
    )
    values = answers[0].size if len(answers) else 0
    write_csv(file, ["sample", *truth_columns(target), *runtime.columns(told, values)], rows)


def write_per_sample(file: Path, result: EvaluationResult, part: PartView) -> None:
    """Write per_sample.csv with the columns of ``result.per_sample``. Not written if there are none."""
    columns = {name: np.asarray(column) for name, column in result.per_sample.items()}
    if columns:
        told = [np.char.mod("%.6g" if each.dtype.kind == "f" else "%d", each) for each in columns.values()]
        write_csv(file, ["sample", *columns], ([name, *row] for name, *row in zip(part.names, *told, strict=True)))
