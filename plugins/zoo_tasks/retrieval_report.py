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


def write_report(result: EvaluationResult, part: PartView, classes: Sequence[str], directory: Path) -> list[ReportItem]:
    """Write plots/matches.png and per_class.csv into ``directory``."""
    outputs, labels = np.asarray(result.outputs), np.asarray(part.targets)
    drawn = np.linspace(0, len(part) - 1, min(QUERIES, len(part))).round().astype(int)
    found, similarities = nearest(outputs, drawn, MATCHES)
    draw(directory / "plots" / "matches.png", part, drawn, found, similarities, labels, classes)
    precision = result.per_sample["average_precision"]
    first = result.per_sample["first_match"]
    rows = []
    for index, name in enumerate(classes):
        own = (labels == index) & (first > 0)
        if own.any():
            rows.append([name, int(own.sum()), f"{precision[own].mean():.4f}", f"{(first[own] == 1).mean():.4f}"])
    write_csv(directory / "per_class.csv", ["class", "queries", "mean average precision", "recall at 1"], rows)
    return [
        ReportItem(
            "Matches",
            "plots/matches.png",
            "Evenly spaced samples of the split (left), and the other samples with the largest cosine similarity. "
            "Matches of another class are red.",
        ),
        ReportItem("Classes", "per_class.csv", "Each sample of the class is a query among all others of the split."),
    ]


def draw(
    file: Path,
    part: PartView,
    queries: np.ndarray,
    found: np.ndarray,
    similarities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
) -> None:
    """Draw a row for each query: its image, and its matches with their similarity and class."""
    columns = found.shape[1] + 1
    figure = Figure(figsize=(1.3 * columns, 1.55 * len(queries)), layout="constrained")
    axes = figure.subplots(len(queries), columns, squeeze=False)
    for row, (query, matches) in enumerate(zip(queries, found, strict=True)):
        images = part.images_of([int(query), *map(int, matches)])
        for axis, image, index in zip(axes[row], images, [query, *matches], strict=True):
            axis.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
            name, itself = classes[int(labels[index])], index == query
            wrong = labels[index] != labels[query]
            value = "" if itself else f" {similarities[row][list(matches).index(index)]:.2f}"
            axis.set_title(f"{name}{value}", fontsize=7, color="tab:red" if wrong else "black", parse_math=False)
            for side in axis.spines.values():
                side.set(color="tab:red" if wrong else "black", linewidth=1.5 if itself or wrong else 0.5)
    save_figure(figure, file)
