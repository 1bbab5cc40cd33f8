"""The report of a regression: predicted against true values with their residuals, and the largest errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from zoo.api import Affine, EvaluationResult, PartView, ReportItem, Values
from zoo.plugin import decide, save_figure, write_csv
from zoo_tasks.galleries import write_gallery

SHOWN = 20
"""Images of the gallery of the largest errors."""
DRAWN = 4
"""Values with plots of their own."""
POINTS = 5000
"""Points of a plot; of more samples, evenly spaced ones."""


def write_report(
    result: EvaluationResult, part: PartView, target: Values, decision: Affine, directory: Path
) -> list[ReportItem]:
    """Where truths are known per_value.csv, errors.csv and, in ``directory``/plots, predicted_true.png and an image of
    each of the largest errors. There is nothing to add to predictions.csv for images without targets."""
    targets = part.targets
    if targets is None or "per_value" not in result.details:
        return []
    truths, found = np.asarray(targets, np.float64), decide(np.asarray(result.outputs), decision)
    draw(directory / "plots" / "predicted_true.png", truths, found, target)
    write_per_value(directory / "per_value.csv", result, target)
    return [
        ReportItem(
            "Predicted and true values",
            "plots/predicted_true.png",
            "Above: predictions against true values; on the diagonal they are equal. Below: residuals, which are "
            "prediction minus true value.",
        ),
        ReportItem(
            "Values",
            "per_value.csv",
            "MAE and RMSE: mean absolute and root mean squared error, in the unit of the value. R²: 1 is perfect, "
            "0 is as good as the mean. Spearman: correlation of the ranks.",
        ),
        write_errors(directory, part, truths, found, target),
    ]


def write_per_value(file: Path, result: EvaluationResult, target: Values) -> None:
    columns = result.details["per_value"]
    units = target.units or ("",) * len(target.names)
    rows = (
        [name, unit, *(f"{columns[each][at]:.6g}" for each in columns)]
        for at, (name, unit) in enumerate(zip(target.names, units, strict=True))
    )
    write_csv(file, ["value", "unit", *columns], rows)


def _titles(target: Values) -> list[str]:
    units = target.units or ("",) * len(target.names)
    return [f"{name} [{unit}]" if unit else name for name, unit in zip(target.names, units, strict=True)]


def draw(file: Path, truths: np.ndarray, found: np.ndarray, target: Values) -> None:
    columns = min(len(target.names), DRAWN)
    rows = np.unique(np.linspace(0, len(truths) - 1, min(len(truths), POINTS)).round().astype(int))
    drawn = Figure(figsize=(1 + 4 * columns, 5.5), layout="constrained")
    axes = drawn.subplots(2, columns, height_ratios=(3, 1), squeeze=False, sharex="col")
    for at, title in enumerate(_titles(target)[:columns]):
        true, predicted = truths[rows, at], found[rows, at]
        above, below = axes[0, at], axes[1, at]
        ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
        above.plot(ends, ends, color="0.4", linestyle="--", linewidth=1)
        above.plot(true, predicted, ".", markersize=3, alpha=0.5)
        above.set(ylabel=f"predicted {title}")
        below.axhline(0, color="0.4", linestyle="--", linewidth=1)
        below.plot(true, predicted - true, ".", markersize=3, alpha=0.5)
        below.set(xlabel=f"true {title}", ylabel="residual")
        for axis in (above, below):
            axis.grid(alpha=0.3)
    save_figure(drawn, file)


def write_errors(directory: Path, part: PartView, truths: np.ndarray, found: np.ndarray, target: Values) -> ReportItem:
    """errors.csv: the samples with the largest errors relative to the spread of each value, each with an image."""
    spread = np.maximum(truths.std(0), 1e-12)
    size = (np.abs(found - truths) / spread).mean(1)
    worst = [int(row) for row in np.argsort(-size, kind="stable")[:SHOWN]]
    titles = _titles(target)
    if len(titles) == 1:  # its name is in every heading of the page
        titles = [f"[{unit}]" for unit in target.units if unit] or [""]
    header = ["sample", *(f"{word} {title}".strip() for title in titles for word in ("true", "predicted"))]
    rows = [
        [
            part.names[row],
            *(f"{each:.5g}" for pair in zip(truths[row], found[row], strict=True) for each in pair),
        ]
        for row in worst
    ]
    write_gallery(directory, "errors", header, part, worst, rows)
    more = ", as a mean of the values, each divided by its standard deviation" if len(titles) > 1 else ""
    return ReportItem("Largest errors", "errors.csv", f"The samples with the largest errors{more}.")
