"""The report of a segmentation: a table of the classes, and images beside their masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.api import EvaluationResult, Mask, PartView, ReportItem
from zoo.plugin import figure, plot_masks, write_csv

SHOWN = 8
"""The number of images in a figure."""
SCORES = ("iou", "accuracy", "boundary_iou")


def write_report(result: EvaluationResult, part: PartView, target: Mask, directory: Path) -> list[ReportItem]:
    """Where truths are known, per_class.csv, and of outputs that fit into memory plots/masks.png and
    plots/worst_masks.png. Of images without masks, plots/masks.png."""
    items = []
    if result.metrics:
        write_per_class(directory / "per_class.csv", result, target.names)
        items.append(
            ReportItem(
                "Classes",
                "per_class.csv",
                "IoU: number of pixels in both the true and the predicted mask of the class, divided by the number of "
                "pixels in at least one of them. Accuracy: fraction of the pixels of the class that are predicted "
                "correctly. Boundary IoU: IoU of the pixels near the contours.",
            )
        )
    outputs = result.outputs
    if outputs is None:
        return items

    def drawn(name: str, title: str, which: str, places: Sequence[int], heading: str) -> ReportItem:
        masks = outputs[list(places)].argmax(1).astype(np.uint8)
        plot_masks(directory / "plots" / f"{name}.png", part, places, masks, target, heading)
        return ReportItem(
            title,
            f"plots/{name}.png",
            f"{which}: image, true mask, predicted mask. The masks have the "
            "colours of their classes, over the image in grayscale.",
        )

    places = [int(index) for index in np.linspace(0, len(part) - 1, min(SHOWN, len(part))).round()]
    heading = f"{figure('mean_iou', result.metrics['mean_iou'])} on the split" if result.metrics else "predicted masks"
    items.append(drawn("masks", "Masks", "Evenly spaced samples", places, heading))
    if result.metrics:
        ious = result.per_sample["mean_iou"]
        worst = [int(index) for index in np.argsort(ious, kind="stable")[:SHOWN]]  # NaN, an ignored image, is last
        items.append(
            drawn("worst_masks", "Worst masks", "The samples with the lowest mean IoU", worst, "the lowest mean IoU")
        )
    return items


def write_per_class(file: Path, result: EvaluationResult, classes: Sequence[str]) -> None:
    """class, pixels and scores; a score that has nothing to divide by is empty."""
    table = result.details["per_class"]
    rows = zip(classes, table["pixels"], *(table[name] for name in SCORES), strict=True)
    write_csv(
        file,
        ["class", "pixels", *SCORES],
        ([name, count, *(_cell(score) for score in values)] for name, count, *values in rows),
    )


def _cell(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"
