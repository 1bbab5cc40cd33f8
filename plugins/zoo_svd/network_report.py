"""What ``svd_compress`` shows: before and after, layer by layer, and accuracy over budgets by responses and by plain SVD."""

from __future__ import annotations

import copy
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
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter
from torch import nn

from zoo.api import EmitRequest, Evaluation, Exhibit, PartView, Task
from zoo.errors import ZooError
from zoo.files import write_csv
from zoo.models import count_macs, count_parameters
from zoo.plots import save
from zoo.registry import load_object, registry
from zoo_svd.allocation import Curve, Ranks
from zoo_svd.compression import Compressor
from zoo_svd.layers import in_eight_bits, sides
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
    """compression.csv, layers.csv, budgets.csv and plots/budgets.png."""
    rows = _compared(outcome, evaluation, _judged(outcome.original, part, classes, judge))
    write_csv(directory / "compression.csv", ("", "before", "after", "share"), rows)
    write_csv(directory / "layers.csv", COLUMNS, _layers(outcome))
    worse = [str(row[0]) for row in rows if row[3] and float(row[3]) > 1 and not str(row[0]).startswith("accuracy")]
    told = f" No gain: {', '.join(worse)}." if worse else ""
    shown = [
        Exhibit("Before and after", "compression.csv", f"The network, its exported file, and the time there, median of {TIMED} calls.{told}"),
        Exhibit("Layers", "layers.csv", "Where there is no rank, the layer stays as it was: no rank was worth it, or none would make it smaller."),
    ]
    if outcome.options.curve and evaluation.labels is not None:
        points = _points(outcome, part, classes, judge)
        _draw(points, outcome.options.of, directory / "plots" / "budgets.png")
        write_csv(directory / "budgets.csv", ("method", "share", "accuracy in %"), [(name, f"{x:.4f}", f"{y:.2f}") for name, x, y in points])
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
    exporter, model = load_object(item.spec.target, item)(), copy.deepcopy(model).cpu().eval()
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        path = Path(folder) / f"model{item.spec.suffix}"
        try:
            exporter.emit(model, torch.zeros(2, *shape), path, EmitRequest(None, None, {}))
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


def _points(outcome: Outcome, part: PartView, classes: Sequence[str], judge: Task) -> list[tuple[str, float, float]]:
    """Method, share of the layers' cost and accuracy in points: at every budget of the curve, and the original in 8 bits."""

    def accuracy(model: nn.Module) -> float:
        return 100 * _judged(model, part, classes, judge)["accuracy"]

    options, found = outcome.options, [("the original", 1.0, accuracy(outcome.original))]
    eight_bits = options.of == "bytes"  # they save no multiply-accumulates
    if eight_bits:
        found.append(("8 bits alone", 0.25, accuracy(in_eight_bits(outcome.original))))
    bare = Compressor(outcome.original, outcome.compressor.pictures[:2], "plain", options.of)
    name = "by responses" if options.method == "responses" and not options.even else "as asked"
    for method, each, curves, even in (
        (name, outcome.compressor, outcome.curves, options.even),
        ("plain SVD", bare, bare.curves(measured=False), True),
    ):
        whole = sum(curve.whole for curve in curves.values())
        for budget in sorted(options.curve):
            try:
                ranks = each.ranks(budget, curves, even=even)
            except ZooError:
                continue  # it cannot be so small
            share, model = sum(curves[layer].cost(rank) for layer, rank in ranks.items()) / whole, each.compressed(ranks)
            found.append((method, share, accuracy(model)))
            if eight_bits and method == name:
                found.append((f"{method}, 8 bits", share / 4, accuracy(in_eight_bits(model))))
    return found


def _draw(points: Sequence[tuple[str, float, float]], of: str, file: Path) -> None:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    axis.axhline(points[0][2], color="0.5", linestyle="--", linewidth=1, label=points[0][0])
    for method in dict.fromkeys(name for name, *_ in points[1:]):
        shares, reached = zip(*sorted((share, accuracy) for name, share, accuracy in points if name == method), strict=True)
        axis.plot(shares, reached, marker="o", label=method)
    axis.set(xscale="log", xlabel=f"share of the layers' {'bytes' if of == 'bytes' else 'multiply-accumulates'}", ylabel="accuracy in %")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    save(figure, file)
