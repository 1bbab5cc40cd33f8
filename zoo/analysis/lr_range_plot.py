"""The image of a learning rate range test: the loss against the learning rate."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from zoo.analysis.lr_range import LrRange
from zoo.reporting.plots import save


def draw(file: Path, result: LrRange, heading: str) -> None:
    """Draw the losses, the smoothed losses, and the two learning rates that are read from it."""
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    figure.suptitle(heading, parse_math=False)
    axes = figure.subplots()
    axes.plot(result.lr, result.loss, color="C0", alpha=0.3, linewidth=1, label="loss")
    axes.plot(result.lr, result.smoothed, color="C0", linewidth=1.6, label="smoothed")
    axes.axvline(result.suggestion, color="C2", linestyle="--", label=f"steepest: {result.suggestion:.2g}")
    axes.axvline(result.minimum, color="C3", linestyle=":", label=f"minimum: {result.minimum:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss of the batch before its step")
    low, high = min(result.smoothed), max(result.smoothed[: max(5, len(result.smoothed) // 2)])
    axes.set_ylim(max(0.0, low - 0.15 * (high - low)), high + 0.35 * (high - low))
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, file)
