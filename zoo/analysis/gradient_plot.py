"""The image of gradients by depth: a line for each network, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from zoo.analysis.gradients import Gradients
from zoo.reporting.plots import save


def draw(file: Path, found: Sequence[Gradients], heading: str) -> None:
    """Depth is the share of the layers that an image has gone through, so that networks of unlike depth lie over each
    other."""
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    figure.suptitle(heading, parse_math=False)
    axes = figure.subplots()
    for each in found:
        last = max(1, len(each.norms) - 1)
        axes.plot(
            [place / last for place in range(len(each.norms))],
            each.norms,
            marker="o",
            markersize=2.5,
            linewidth=1.2,
            label=each.label,
        )
    axes.set_yscale("log")
    axes.set(
        xlabel="depth: from the layer that sees the image (0) to the one that gives the logits (1)",
        ylabel="norm of the gradient of a weight",
    )
    axes.grid(alpha=0.3)
    if len(found) > 1:
        axes.legend()
    save(figure, file)
