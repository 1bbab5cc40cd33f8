"""The report of a retrieval: queries with their closest matches, and the classes by their average precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from zoo.api import EvaluationResult, PartView, ReportItem
from zoo.plugin import save_figure, write_csv
from zoo_tasks.retrieval_metrics import nearest

QUERIES, MATCHES = 8, 6
NAME = 14
"""Letters of a class name that fit above an image."""


def write_report(result: EvaluationResult, part: PartView, classes: Sequence[str], directory: Path) -> list[ReportItem]:
    """Write plots/matches.png, plots/worst_queries.png and per_class.csv into ``directory``."""
    outputs, labels = np.asarray(result.outputs), np.asarray(part.targets)
    precision = result.per_sample["average_precision"]
    first = result.per_sample["first_match"]

    def drawn(name: str, queries: np.ndarray) -> str:
        found, similarities = nearest(outputs, queries, MATCHES)
        draw(directory / "plots" / name, part, queries, found, similarities, precision, labels, classes)
        return f"plots/{name}"

    evenly = np.linspace(0, len(part) - 1, min(QUERIES, len(part))).round().astype(int)
    counted = np.flatnonzero(first > 0)
    worst = counted[np.argsort(precision[counted], kind="stable")][:QUERIES]
    rows = []
    for index, name in enumerate(classes):
        own = (labels == index) & (first > 0)
        if own.any():
            rows.append([name, int(own.sum()), f"{precision[own].mean():.4f}", f"{(first[own] == 1).mean():.4f}"])
    write_csv(directory / "per_class.csv", ["class", "queries", "mean average precision", "recall at 1"], rows)
    items = [
        ReportItem(
            "Matches",
            drawn("matches.png", evenly),
            "Left: evenly spaced samples of the split, as queries, with their class and average precision. Right: the "
            "other samples with the largest cosine similarity, in that order. Matches of another class are red.",
        )
    ]
    if len(worst):
        told = "The queries with the lowest average precision, drawn in the same way."
        items.append(ReportItem("Worst queries", drawn("worst_queries.png", worst), told))
    return [
        *items,
        ReportItem("Classes", "per_class.csv", "Each sample of the class is a query among all others of the split."),
    ]


def draw(
    file: Path,
    part: PartView,
    queries: np.ndarray,
    found: np.ndarray,
    similarities: np.ndarray,
    precision: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
) -> None:
    """Draw a row for each query: its image with its class and average precision, and, after a gap, its matches with
    their classes and similarities."""
    columns = found.shape[1] + 2
    figure = Figure(figsize=(1.3 * (columns - 1) + 0.2, 1.55 * len(queries)), layout="constrained")
    axes = figure.subplots(len(queries), columns, squeeze=False, width_ratios=[1, 0.1, *[1] * found.shape[1]])
    for axis in axes[:, 1]:
        axis.set_axis_off()
    for row, (query, matches) in enumerate(zip(queries, found, strict=True)):
        images = part.images_of([int(query), *map(int, matches)])
        values = [f"AP {precision[query]:.2f}", *(f"{each:.2f}" for each in similarities[row])]
        for axis, image, index, value in zip(
            axes[row, [0, *range(2, columns)]], images, [query, *matches], values, strict=True
        ):
            axis.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
            wrong = labels[index] != labels[query]
            colour = "tab:red" if wrong else "black"
            name = classes[int(labels[index])]
            name = name if len(name) <= NAME else f"{name[: NAME - 1]}…"
            axis.set_title(f"{name} · {value}", fontsize=7, color=colour, parse_math=False)
            for side in axis.spines.values():
                side.set(color=colour, linewidth=1.5 if wrong else 0.5)
    save_figure(figure, file)
