"""Judging a model: on the report part after a run, and later on any part of any dataset (`zoo evaluate`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zoo.api import Batch, Evaluation, PartView, Task
from zoo.config import DatasetSection
from zoo.data import Data, open_data
from zoo.errors import UsageError
from zoo.files import write_text

if TYPE_CHECKING:
    from zoo.rundir import RunDir


class Judged(NamedTuple):
    """What `evaluate_run` found, and on what."""

    metrics: dict[str, float]
    samples: int
    dataset: str


def evaluate(model: nn.Module, task: Task, data: Data, part: str, batch_size: int) -> Evaluation:
    """Judge a model on a part, in eval mode and without gradients; its mode and the random generators are left as they were."""
    view = data.part(part)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return task.evaluate(model, view.batches(batch_size), data.classes)
    finally:
        model.train(training)


def evaluate_run(run: str | Path | RunDir, split: str = "report", dataset: str | None = None, device: str = "auto") -> Judged:
    """Judge a run's best checkpoint on a part of its own dataset, or of another one that has as many classes.

    Raises UsageError where the dataset has no such part, no labels, or other classes.
    """
    from zoo.devices import choose_device
    from zoo.loading import build_task, load_run
    from zoo.registry import registry
    from zoo.rundir import RunDir, find

    where = run if isinstance(run, RunDir) else find(run)
    target = choose_device(device)
    loaded = load_run(where, target)
    section = loaded.config.dataset
    if dataset is not None:
        section = DatasetSection(name=registry().dataset(dataset).canonical, permute_pixels=section.permute_pixels)
    data = open_data(registry(), section, target, preprocessing=loaded.preprocessing, parts=(split,), seed=loaded.config.seed)
    if len(data.classes) != len(loaded.classes):
        raise UsageError(
            f"{data.name} has {len(data.classes)} classes and the model {len(loaded.classes)}", fix="choose a dataset with the model's classes"
        )
    found = evaluate(loaded.model, build_task(registry(), loaded.config), data, split, loaded.config.train.eval_batch_size)
    if found.labels is None:
        raise UsageError(f"the {split} part of {data.name} has no labels to judge by", fix="choose a labelled part, or use `zoo predict`")
    return Judged(dict(found.metrics), len(data.part(split)), data.name)


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
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["sample", "truth", "prediction", *(f"p({name})" for name in classes)])
    truths: Sequence[str] = [""] * len(part) if evaluation.labels is None else [classes[int(label)] for label in evaluation.labels]
    for name, truth, guess, row in zip(part.names, truths, guesses, probabilities, strict=True):
        writer.writerow([name, truth, classes[int(guess)], *np.char.mod("%.6f", row)])
    write_text(file, stream.getvalue())
