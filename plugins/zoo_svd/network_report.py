"""The report of ``svd_compress``: comparison before and after, layers, and accuracy by budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.api import Evaluate, EvaluationResult, PartView, ReportItem
from zoo.plugin import count_macs, count_parameters, registry, write_csv
from zoo_svd.allocation import Choices, Menu
from zoo_svd.budgets import draw, points
from zoo_svd.compression import BYTES, Compressor
from zoo_svd.forms import empty, macs_of, places_of, sides, weights_of
from zoo_svd.latency import BATCHES, CALLS, Deployed, deployed
from zoo_svd.options import NetworkOptions

COMPARED = ("", "before", "after", "share", "before, in 8 bits", "after, in 8 bits")
LAYERS = (
    *("layer", "weights", "becomes", "bytes before", "bytes after", "MACs before", "MACs after"),
    *(f"ms for {batch} {when}" for batch in BATCHES for when in ("before", "after")),
    "energy lost",
)
BATCH = 100
CALIBRATING = 64
"""Images that show the range of activations in 8 bits."""


@dataclass
class Outcome:
    """``original`` and ``result``, and how the one became the other."""

    original: nn.Module
    result: nn.Module
    compressor: Compressor
    choices: Choices
    menus: dict[str, Menu]
    options: NetworkOptions

    @property
    def shape(self) -> tuple[int, int, int]:
        _, channels, height, width = self.compressor.images.shape
        return channels, height, width

    @property
    def calibrating(self) -> torch.Tensor:
        images = self.compressor.images
        return images[torch.linspace(0, len(images) - 1, min(CALIBRATING, len(images))).long()]


def write_report(
    outcome: Outcome, result: EvaluationResult, part: PartView, evaluate: Evaluate, directory: Path
) -> list[ReportItem]:
    """compression.csv, layers.csv, budgets.csv and plots/budgets.png."""

    def evaluated(model: nn.Module) -> dict[str, float]:
        return dict(evaluate(model.eval(), part).metrics)

    networks = _deployed(outcome)
    in_eight_bits = next((each[2:] for each in networks.values() if any(each[2:])), [None, None])
    metric = next(iter(result.metrics))
    figures = [
        evaluated(outcome.original),
        result.metrics,
        *(evaluated(each) if each else {} for each in in_eight_bits),
    ]
    rows = _compared(outcome, networks, metric, [each.get(metric) for each in figures])
    write_csv(directory / "compression.csv", COMPARED, rows)
    write_csv(directory / "layers.csv", LAYERS, _layers(outcome))
    worse = [str(row[0]) for row in rows if row[3] and float(row[3]) > 1]
    told = (f" Larger or slower than before: {', '.join(worse)}." if worse else "") + (
        "" if any(row[4] for row in rows) else " The quantizer does not support this network."
    )
    shown = [
        ReportItem(
            "Before and after",
            "compression.csv",
            f"The network and its exported file. Times are medians of {CALLS} calls. 8-bit models are quantized by "
            f"onnxruntime.{told}",
        ),
        ReportItem(
            "Layers",
            "layers.csv",
            "Layers with a dash are unchanged. Times are in milliseconds, for each layer exported alone, with batches "
            "of 1 and 32 images.",
        ),
    ]
    if outcome.options.curve and "accuracy" in result.metrics:
        before, small = figures[0]["accuracy"], figures[2].get("accuracy")
        original = 100 * before, None if small is None else 100 * small
        shown.append(_budgets(outcome, lambda model: 100 * evaluated(model)["accuracy"], original, directory))
    return shown


def _budgets(
    outcome: Outcome,
    accuracy: Callable[[nn.Module], float],
    original: tuple[float, float | None],
    directory: Path,
) -> ReportItem:
    """budgets.csv and plots/budgets.png; ``original`` has the accuracy of the original, and of that in 8 bits, in %."""
    settings = outcome.compressor, outcome.menus, outcome.options, outcome.calibrating
    found = points(*settings, accuracy, original)
    draw(found, outcome.options.of, directory / "plots" / "budgets.png")
    rows = [(name, f"{x:.4f}", f"{y:.2f}") for name, x, y in found]
    write_csv(directory / "budgets.csv", ("method", "share", "accuracy in %"), rows)
    remark = "Accuracy without fine-tuning, over the fraction of the layers' cost that remains."
    return ReportItem("Budgets", "plots/budgets.png", remark)


def _deployed(outcome: Outcome) -> dict[str, list[Deployed | None]]:
    """By exporter: the original and the result, and both in 8 bits."""
    kinds = [(model, images) for images in (None, outcome.calibrating) for model in (outcome.original, outcome.result)]
    return {
        item.spec.name: [deployed(item, model, outcome.shape, images) for model, images in kinds]
        for item in registry().items("exporter")
    }


def _compared(
    outcome: Outcome, tables: dict[str, list[Deployed | None]], metric: str, figures: Sequence[float | None]
) -> list[list[Any]]:
    pair = (outcome.original, outcome.result)
    rows: list[list[Any]] = []
    if figures[0] is not None:
        told = ["" if value is None else f"{value:.4f}" for value in figures]
        rows.append([metric, *told[:2], "", *told[2:]])
    rows.append(_row("parameters", [count_parameters(model)[0] for model in pair]))
    rows.append(_row("multiply-accumulates an image", [count_macs(model, outcome.shape) for model in pair]))
    for name, networks in tables.items():
        if all(networks[:2]):
            rows.append(_row(f"{name}: bytes of the file", [each.size if each else None for each in networks]))
            rows.extend(
                _row(f"{name}: ms for {_images(batch)}", _times(networks, outcome.shape, batch)) for batch in BATCHES
            )
    return rows


def _images(batch: int) -> str:
    return "1 image" if batch == 1 else f"{batch} images"


def _times(networks: Sequence[Deployed | None], shape: Sequence[int], batch: int) -> list[float | None]:
    return [each.milliseconds(shape, batch) if each else None for each in networks]


def _row(name: str, values: Sequence[float | None]) -> list[Any]:
    """Before, after, the share, and both in 8 bits where that is known."""
    told = ["" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3g}" for value in values]
    share = f"{values[1] / values[0]:.3f}" if values[0] and values[1] is not None else ""
    return [name, *told[:2], share, *(told[2:] or ["", ""])]


def _layers(outcome: Outcome) -> list[list[Any]]:
    compressor, rows = outcome.compressor, []
    for name, layer in compressor.layers.items():
        choice, shape, (height, width) = outcome.choices[name], compressor.shapes[name], sides(layer)
        weights, macs, before = (
            layer.weight.numel(),
            layer.weight.numel() * places_of(layer, shape),
            compressor.stopwatch(layer, shape, BATCHES),
        )
        if choice is None:
            becomes, after, lost = (weights, macs), before, 0.0
        else:
            becomes, after = (
                (weights_of(layer, choice), macs_of(layer, choice, shape)),
                compressor.stopwatch(empty(layer, choice), shape, BATCHES),
            )
            lost = compressor.decomposition(name, choice.form).lost(choice.ranks)
        sizes = [BYTES * weights, BYTES * becomes[0], macs, becomes[1]]
        times = ["" if value is None else f"{value:.4f}" for pair in zip(before, after, strict=True) for value in pair]
        rows.append([name, f"{height}×{width}", "–" if choice is None else str(choice), *sizes, *times, f"{lost:.6f}"])
    return rows
