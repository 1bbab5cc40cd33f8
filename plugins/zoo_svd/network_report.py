"""What ``svd_compress`` shows: before and after, layer by layer, and accuracy over budgets by responses and by plain SVD."""

from __future__ import annotations

import csv
import io
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from zoo.api import EmitRequest, Evaluation, Exhibit, PartView, Task
from zoo.errors import ZooError
from zoo.files import write_text
from zoo.models import count_macs, count_parameters
from zoo.plots import save
from zoo.registry import load_object, registry
from zoo_svd.allocation import Curve, Ranks
from zoo_svd.compression import Compressor
from zoo_svd.layers import sides
from zoo_svd.options import NetworkOptions

COLUMNS = ("layer", "weights", "rank", "bytes before", "bytes after", "MACs before", "MACs after", "energy lost")
BATCH = 100
TIMED = 9
"""Calls of which the median is told."""


@dataclass
class Outcome:
    """``original`` and ``result``, and how the one became the other."""

    original: nn.Module
    result: nn.Module
    compressor: Compressor
    ranks: Ranks
    curves: dict[str, Curve]
    options: NetworkOptions

    @property
    def shape(self) -> tuple[int, int, int]:
        _, channels, height, width = self.compressor.pictures.shape
        return channels, height, width


def write_report(outcome: Outcome, evaluation: Evaluation, part: PartView, classes: Sequence[str], judge: Task, directory: Path) -> list[Exhibit]:
    """compression.csv, layers.csv and plots/budgets.png."""
    outcome.original.cpu()
    outcome.result.cpu()
    rows = _compared(outcome, evaluation, _judged(outcome.original, part, classes, judge))
    _write(directory / "compression.csv", ("", "before", "after", "share"), rows)
    _write(
        directory / "layers.csv",
        ("layer", "weights", "rank", "bytes before", "bytes after", "MACs before", "MACs after", "energy lost"),
        _layers(outcome),
    )
    worse = [str(row[0]) for row in rows if row[3] and float(row[3]) > 1 and not str(row[0]).startswith("accuracy")]
    told = f" No gain: {', '.join(worse)}." if worse else ""
    shown = [
        Exhibit("Before and after", "compression.csv", f"The network, its exported file, and the time there, median of {TIMED} calls.{told}"),
        Exhibit("Layers", "layers.csv", "Where there is no rank, the layer stays as it was: no rank was worth it, or none would make it smaller."),
    ]
    if outcome.options.curve and evaluation.labels is not None:
        _draw(outcome, part, classes, judge, directory / "plots" / "budgets.png")
        shown.append(Exhibit("Budgets", "plots/budgets.png", "Accuracy over the share of the layers' cost, without any training after it."))
    return shown


def _judged(model: nn.Module, part: PartView, classes: Sequence[str], judge: Task) -> dict[str, float]:
    model.eval()
    with torch.no_grad():
        return dict(judge.evaluate(model, part.batches(BATCH), classes).metrics)


def _compared(outcome: Outcome, after: Evaluation, before: dict[str, float]) -> list[list[Any]]:
    pair = (outcome.original, outcome.result)
    parameters = [count_parameters(model)[0] for model in pair]
    rows: list[list[Any]] = []
    if "accuracy" in before:
        rows.append(["accuracy", f"{before['accuracy']:.4f}", f"{after.metrics['accuracy']:.4f}", ""])
    rows.append(_row("parameters", parameters))
    rows.append(_row("multiply-accumulates a picture", [count_macs(model, outcome.shape) for model in pair]))
    for item in registry().items("exporter"):
        found = [_exported(item, model, outcome.shape) for model in pair]
        for place, name in enumerate(("bytes of the file", "ms for 1 picture", "ms for 32 pictures")):
            values = [each[place] for each in found if each is not None]
            if len(values) == len(pair):
                rows.append(_row(f"{item.spec.name}: {name}", values))
    return rows


def _row(name: str, values: Sequence[float]) -> list[Any]:
    told = [f"{value:,}" if isinstance(value, int) else f"{value:.2f}" for value in values]
    return [name, *told, f"{values[1] / values[0]:.3f}" if values[0] else ""]


def _exported(item: Any, model: nn.Module, shape: tuple[int, int, int]) -> tuple[int, float, float] | None:
    """Bytes of the exported file, and milliseconds for a batch of 1 and of 32 in its own runtime on the CPU; None where that cannot be."""
    exporter = load_object(item.spec.target, item)()
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        path = Path(folder) / f"model{item.spec.suffix}"
        try:
            exporter.emit(model.eval(), torch.zeros(2, *shape), path, EmitRequest(None, None, {}))
            runner = exporter.runner(path, "cpu")
        except ZooError:
            return None
        count = sum(file.stat().st_size for file in Path(folder).iterdir())
        return count, *(_milliseconds(runner, np.zeros((batch, *shape), np.float32)) for batch in (1, 32))  # type: ignore[return-value]


def _milliseconds(runner: Any, inputs: np.ndarray) -> float:
    runner(inputs)
    seconds = []
    for _ in range(TIMED):
        started = time.perf_counter()
        runner(inputs)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)


def _layers(outcome: Outcome) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for name, layer in outcome.compressor.layers.items():
        rank, places, (height, width) = outcome.ranks[name], outcome.compressor.places[name], sides(layer)
        before, after = height * width, height * width if rank is None else rank * (height + width)
        lost = 0.0 if rank is None else outcome.curves[name].lost(rank)
        rows.append([name, f"{height}×{width}", rank or "–", 4 * before, 4 * after, places * before, places * after, f"{lost:.6f}"])
    return rows


def _draw(outcome: Outcome, part: PartView, classes: Sequence[str], judge: Task, file: Path) -> None:
    """Accuracy over budgets: by responses with ranks shared out, and by plain SVD with the same share everywhere."""
    compressor, of = outcome.compressor, outcome.options.of
    bare = Compressor(outcome.original, compressor.pictures[:2], "plain", of)
    sides_of = {"by responses": (compressor, outcome.curves, False), "plain SVD": (bare, bare.curves(measured=False), True)}
    if outcome.options.method == "plain" or outcome.options.even:
        sides_of["as asked"] = sides_of.pop("by responses")
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    for label, (each, curves, even) in sides_of.items():
        whole = sum(curve.whole for curve in curves.values())
        points = []
        for budget in sorted(outcome.options.curve):
            try:
                ranks = each.ranks(budget, curves, even=even or (label == "as asked" and outcome.options.even))
            except ZooError:
                continue  # it cannot be so small
            spent = sum(curves[name].cost(rank) for name, rank in ranks.items()) / whole
            points.append((spent, 100 * _judged(each.compressed(ranks).cpu(), part, classes, judge)["accuracy"]))
        axis.plot(*zip(*points, strict=True), marker="o", label=label)
    axis.axhline(100 * _judged(outcome.original, part, classes, judge)["accuracy"], color="0.5", linestyle="--", linewidth=1, label="the original")
    axis.set(xscale="log", xlabel=f"share of the layers' {'bytes' if of == 'bytes' else 'multiply-accumulates'}", ylabel="accuracy in %")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    save(figure, file)


def _write(file: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(file, stream.getvalue())
