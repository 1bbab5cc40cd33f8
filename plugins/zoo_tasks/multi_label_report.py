"""The report of multi-label classification: tables as CSV and figures as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from zoo.api import EvaluationResult, PartView, ReportItem
from zoo.plugin import figure, plural, runtime, save_figure, write_csv
from zoo_tasks.galleries import write_gallery
from zoo_tasks.multi_label_metrics import precision_recall

SHOWN = 20
"""Images of the gallery of wrong predictions."""
CURVES = 10
"""Precision-recall curves with a colour of their own."""


def write_report(
    result: EvaluationResult, part: PartView, labels: Sequence[str], directory: Path, thresholds_from: str
) -> list[ReportItem]:
    """Where truths are known per_label.csv, mistakes.csv and, in ``directory``/plots, precision_recall.png and an image
    of each of the worst predictions. There is nothing to add to predictions.csv for images without labels.
    ``thresholds_from`` is a clause on the origin of the thresholds."""
    truths = part.targets
    if truths is None or "per_label" not in result.details:
        return []
    probabilities = runtime.sigmoid(np.asarray(result.outputs))
    present = np.asarray(truths, bool)
    write_per_label(directory / "per_label.csv", result, labels)
    heading = figure("map", result.metrics["map"])
    draw_curves(directory / "plots" / "precision_recall.png", probabilities, present, labels, heading)
    thresholds = np.asarray(result.details["per_label"]["threshold"])
    return [
        ReportItem(
            "Labels",
            "per_label.csv",
            "Count: number of images of the evaluated split with the label. Average precision: area under the "
            "precision-recall curve. Threshold: the label is predicted if its probability is at least the threshold; "
            f"{thresholds_from}. Precision, recall and F1 are computed at the threshold.",
        ),
        ReportItem(
            "Precision and recall",
            "plots/precision_recall.png",
            "Precision and recall at every threshold, for "
            + (f"the {CURVES} most frequent labels" if len(labels) > CURVES else "each label")
            + " (number of images in parentheses) and the mean over all labels.",
        ),
        write_mistakes(directory, part, probabilities >= thresholds, present, labels),
    ]


def write_per_label(file: Path, result: EvaluationResult, labels: Sequence[str]) -> None:
    columns = result.details["per_label"]
    scores = [name for name in columns if name != "count"]
    rows = (
        [
            name,
            columns["count"][at],
            *("" if columns[each][at] is None else f"{columns[each][at]:.4f}" for each in scores),
        ]
        for at, name in enumerate(labels)
    )
    write_csv(file, ["label", "count", *(name.replace("_", " ") for name in scores)], rows)


def draw_curves(
    file: Path, probabilities: np.ndarray, present: np.ndarray, labels: Sequence[str], heading: str
) -> None:
    drawn = Figure(figsize=(7.5, 5), layout="constrained")
    axis = drawn.subplots()
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title=heading)
    counts = present.sum(0)
    shown = sorted(np.argsort(-counts, kind="stable")[:CURVES].tolist())
    grid, mean = np.linspace(0, 1, 101), []
    for at in range(len(labels)):
        if not counts[at]:
            continue
        precision, recall, _ = precision_recall(present[:, at], probabilities[:, at])
        # the precision at a recall is the best that is reached with at least that recall
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        mean.append(envelope[np.searchsorted(recall, grid).clip(max=len(recall) - 1)])
        if at in shown:
            axis.step(recall, precision, where="pre", linewidth=1, label=f"{labels[at]} ({counts[at]:,})")
    if mean:
        axis.plot(grid, np.mean(mean, 0), color="black", linewidth=2, label=f"mean of {len(mean)} labels")
        drawn.legend(fontsize=8, loc="outside right center")
    axis.grid(alpha=0.3)
    save_figure(drawn, file)


def write_mistakes(
    directory: Path, part: PartView, predicted: np.ndarray, present: np.ndarray, labels: Sequence[str]
) -> ReportItem:
    """mistakes.csv: the samples with most errors, each with an image."""
    wrong = (predicted != present).sum(1)
    worst = [int(row) for row in np.argsort(-wrong, kind="stable")[:SHOWN] if wrong[row]]

    def named(row: np.ndarray) -> str:
        return "; ".join(name for name, here in zip(labels, row, strict=True) if here)

    rows = [
        [
            part.names[row],
            named(present[row]),
            named(present[row] & ~predicted[row]),
            named(predicted[row] & ~present[row]),
        ]
        for row in worst
    ]
    write_gallery(directory, "mistakes", ["sample", "labels", "missed", "extra"], part, worst, rows)
    told = (
        f"The samples with the most errors (missed or extra labels); {int((wrong > 0).sum()):,} of "
        f"{plural(len(part), 'sample')} have at least one."
    )
    return ReportItem("Mistakes", "mistakes.csv", told)
