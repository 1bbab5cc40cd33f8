"""The plot of a network's layers: parameters, cost and receptive field."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from zoo.analysis.layer_table import Anatomy, Layer
from zoo.reporting.plots import save

NAMED = 40
"""Layers that have room for their names."""


def draw(file: Path, found: Anatomy, heading: str) -> None:
    """Three panels over the layers in their order: parameters, multiply-accumulates, receptive field beside the
    image's side."""
    layers = [
        layer for layer in found.layers if layer.output is not None and (layer.parameters or layer.macs or layer.steps)
    ]
    figure = Figure(figsize=(max(7.0, min(18.0, 2 + 0.24 * len(layers))), 8.5), layout="constrained")
    figure.suptitle(heading, parse_math=False)
    axes = figure.subplots(3, 1, sharex=True)
    _bars(axes[0], [layer.parameters for layer in layers], "parameters", "C0")
    _bars(axes[1], [layer.macs for layer in layers], "multiply-accumulates", "C1")
    _fields(axes[2], layers, found)
    if len(layers) <= NAMED:
        axes[2].set_xticks(
            range(len(layers)),
            [layer.name or "(itself)" for layer in layers],
            rotation=90,
            fontsize=8,
            parse_math=False,
        )
    else:
        axes[2].set_xlabel(f"{len(layers)} layers, in the order of their calls")
    axes[2].set_xlim(-0.6, len(layers) - 0.4)
    save(figure, file)


def _bars(axis: Axes, values: list[int], label: str, colour: str) -> None:
    axis.bar(range(len(values)), values, color=colour, width=0.8)
    axis.set_ylabel(label)
    axis.yaxis.set_major_formatter(EngFormatter(sep=" "))
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)


def _fields(axis: Axes, layers: list[Layer], found: Anatomy) -> None:
    side = min(found.input[1:])
    seen = [
        (place, min(each.field for each in layer.axes.values()))
        for place, layer in enumerate(layers)
        if layer.axes and not layer.whole
    ]
    axis.plot(
        [place for place, _ in seen],
        [field for _, field in seen],
        color="C2",
        marker="o",
        markersize=3,
        label="one position sees",
    )
    whole = [place for place, layer in enumerate(layers) if layer.whole]
    if whole:
        axis.plot(
            whole,
            [side] * len(whole),
            color="C3",
            linestyle="",
            marker="s",
            markersize=4,
            label="all of the image reaches it",
        )
    axis.axhline(side, color="0.4", linestyle="--", linewidth=1, label=f"the image's side, {side}")
    axis.set(ylabel="receptive field, pixels", ylim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend(loc="upper left")
