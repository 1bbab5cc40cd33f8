"""The report of a classification: tables as CSV and figures as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from zoo.api import EvaluationResult, PartView, ReportItem
from zoo.plugin import (
    figure,
    plot_confusion,
    plot_predictions,
    save_figure,
    softmax,
    write_csv,
    write_image,
)

SHOWN = 20
"""The number of images in the figures of predictions and of mistakes."""


def write_report(result: EvaluationResult, part: PartView, classes: Sequence[str], directory: Path) -> list[ReportItem]:
    """Where truths are known per_class.csv, mistakes.csv and, in ``directory``/plots, confusion.png, calibration.png,
    predictions.png, mistakes.png and an image of each mistake. Of images without labels predicted.csv and
    predicted.png.
    """
    probabilities, labels = softmax(np.asarray(result.outputs)), part.targets
    if labels is None:
        return write_predicted(directory, part, probabilities, classes)
    figures, details = directory / "plots", result.details
    accuracy = figure("accuracy", result.metrics["accuracy"])
    plot_confusion(figures / "confusion.png", details["confusion"], classes, accuracy)
    write_per_class(directory / "per_class.csv", details["per_class"], classes)
    error = result.metrics["calibration_error"]
    calibration(figures / "calibration.png", details["reliability"], figure("calibration_error", error))
    plot_predictions(figures / "predictions.png", part, _all_over(part), probabilities, labels, classes, "predictions")
    return [
        ReportItem(
            "Confusion matrix",
            "plots/confusion.png",
            "Number of samples for each true class (row) and predicted class (column). The shade shows the fraction "
            "of the samples of the true class.",
        ),
        ReportItem(
            "Classes",
            "per_class.csv",
            "Precision: fraction of the predictions of a class that are correct. Recall: fraction of the samples of a "
            "class that are predicted correctly.",
        ),
        ReportItem(
            "Calibration",
            "plots/calibration.png",
            "Reliability diagram: accuracy of the predictions in each bin (range of confidence). With perfect "
            "calibration, "
            "all bars end at the diagonal.",
        ),
        ReportItem(
            "Predictions",
            "plots/predictions.png",
            "Samples at equal intervals of the split, with predicted class and probability. Wrong predictions are red.",
        ),
        write_mistakes(directory, part, probabilities, labels, classes),
    ]


def write_predicted(
    directory: Path, part: PartView, probabilities: np.ndarray, classes: Sequence[str]
) -> list[ReportItem]:
    """predicted.csv: id, class and probability of each image; predicted.png shows some."""
    guesses = probabilities.argmax(1)
    rows = (
        [name, classes[int(guess)], f"{row[guess]:.6f}"]
        for name, guess, row in zip(part.names, guesses, probabilities, strict=True)
    )
    write_csv(directory / "predicted.csv", ["id", "class", "probability"], rows)
    plot_predictions(
        directory / "plots" / "predicted.png",
        part,
        _all_over(part),
        probabilities,
        None,
        classes,
        "images without labels",
    )
    return [
        ReportItem(
            "Images without labels",
            "plots/predicted.png",
            "Predictions for some of the images. All predictions are in predicted.csv.",
        )
    ]


def _all_over(part: PartView) -> list[int]:
    """Return a few evenly spaced samples, because the first ones may all be of one class."""
    return [int(index) for index in np.linspace(0, len(part) - 1, min(SHOWN, len(part))).round()]


def write_per_class(file: Path, per_class: dict[str, list[float]], classes: Sequence[str]) -> None:
    scores = ("precision", "recall", "f1")
    rows = zip(classes, per_class["count"], *(per_class[name] for name in scores), strict=True)
    write_csv(
        file,
        ["class", "count", *scores],
        ([name, count, *(f"{score:.4f}" for score in values)] for name, count, *values in rows),
    )


def write_mistakes(
    directory: Path, part: PartView, probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> ReportItem:
    """The most confident mistakes: a grid, and a table with an image of each."""
    guesses = probabilities.argmax(1)
    wrong = np.flatnonzero(guesses != labels)
    worst = [int(index) for index in wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:SHOWN]]
    title = f"the most confident wrong predictions ({len(wrong):,} of {len(part):,} predictions are wrong)"
    plot_predictions(directory / "plots" / "mistakes.png", part, worst, probabilities, labels, classes, title)
    folder = directory / "plots" / "mistakes"
    folder.mkdir(exist_ok=True)
    rows = []
    for place, (index, image) in enumerate(zip(worst, part.images_of(worst) if worst else (), strict=True)):
        name = f"{place:02d}.png"
        write_image(folder / name, Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image))
        truth, guess = classes[int(labels[index])], classes[int(guesses[index])]
        rows.append([f"plots/mistakes/{name}", part.names[index], truth, guess, f"{probabilities[index].max():.4f}"])
    write_csv(directory / "mistakes.csv", ["image", "sample", "truth", "prediction", "probability"], rows)
    named = " A sample is identified by its file name or by its index in the complete dataset." if rows else ""
    return ReportItem("Mistakes", "mistakes.csv", f"{title[0].upper()}{title[1:]}.{named}")


def calibration(file: Path, bins: dict[str, list[float]], heading: str) -> None:
    """Accuracy by bin of confidence over the diagonal and, below, how many samples fall into each bin."""
    count = np.asarray(bins["count"])
    width = 1 / len(count)
    middle, held = (np.arange(len(count)) + 0.5) * width, count > 0
    drawn = Figure(figsize=(5, 5.4), layout="constrained")
    drawn.suptitle(heading)
    above, below = drawn.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    above.bar(middle[held], np.asarray(bins["accuracy"])[held], width * 0.92, label="accuracy of a bin")
    above.plot([0, 1], [0, 1], color="0.4", linestyle="--", linewidth=1, label="perfect calibration")
    above.plot(
        np.asarray(bins["confidence"])[held],
        np.asarray(bins["accuracy"])[held],
        "o",
        color="black",
        markersize=3,
        label="mean confidence and accuracy of a bin",
    )
    above.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    above.legend(loc="best", fontsize=8)
    below.bar(middle, count, width * 0.92, color="0.6")
    below.set(xlabel="confidence (probability of the predicted class)", ylabel="samples")
    for axis in (above, below):
        axis.grid(alpha=0.3)
    save_figure(drawn, file)
