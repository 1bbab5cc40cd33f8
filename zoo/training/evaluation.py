"""Evaluating a model on a split, and what its task makes a table of: outputs, labels, predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from zoo.api import Batch, Evaluation, PartView, Task
from zoo.data.data_loader import Data
from zoo.support.atomic_files import write_csv

if TYPE_CHECKING:
    pass


def evaluate(model: nn.Module, task: Task, data: Data, part: str, batch_size: int) -> Evaluation:
    """Evaluate a model on a split, in eval mode and without gradients; its mode and the random generators are left as
    they were."""
    return evaluate_split(model, task, data.part(part), data.classes, batch_size)


def evaluate_split(model: nn.Module, task: Task, view: PartView, classes: Sequence[str], batch_size: int) -> Evaluation:
    """As `evaluate`, on a split that need not be one of `Data`."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return task.evaluate(model, view.batches(batch_size), classes)
    finally:
        model.train(training)


def collect(model: nn.Module, batches: Iterable[Batch]) -> tuple[Tensor, Tensor | None]:
    """The logits of every batch, float32 (N, K), and the labels, int64 (N,) or None, on the device."""
    logits, labels = [], []
    for batch in batches:
        logits.append(model(batch.inputs).float())
        if batch.labels is not None:
            labels.append(batch.labels)
    return torch.cat(logits), torch.cat(labels) if labels else None


def write_predictions(file: Path, evaluation: Evaluation, part: PartView, classes: Sequence[str]) -> None:
    """predictions.csv: name, truth (where known), prediction, and a probability for every class."""
    from zoo.runtime import softmax

    probabilities = softmax(evaluation.outputs)
    guesses = probabilities.argmax(1)
    truths: Sequence[str] = (
        [""] * len(part) if evaluation.labels is None else [classes[int(label)] for label in evaluation.labels]
    )
    found = zip(part.names, truths, guesses, probabilities, strict=True)
    rows = ([name, truth, classes[int(guess)], *np.char.mod("%.6f", row)] for name, truth, guess, row in found)
    write_csv(file, ["sample", "truth", "prediction", *(f"p({name})" for name in classes)], rows)
