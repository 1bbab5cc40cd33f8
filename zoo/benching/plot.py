"""The plot of a benchmark: latency and throughput by batch size, a row for each target."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from zoo.benching.result import Benchmark, TargetResult
from zoo.reporting.plots import save
from zoo.support.formatting import plural

LEAST_RANGE = 4.0
"""The smallest ratio of both ends of an axis."""


def draw(file: Path, result: Benchmark) -> None:
    """Draw the median latency with the interquartile range, and the throughput. Both axes are logarithmic."""
    rows = len(result.targets)
    figure = Figure(figsize=(9, 0.6 + 3.4 * rows), layout="constrained")
    settings = result.settings
    figure.suptitle(
        f"{plural(settings.threads, 'CPU thread')}, PyTorch on {settings.device}, files by provider "
        f"{settings.provider}; bars: interquartile range",
        fontsize=10,
        parse_math=False,
    )
    for axes, target in zip(figure.subplots(rows, 2, squeeze=False), result.targets, strict=True):
        _draw_target(axes[0], axes[1], target)
    save(figure, file)


def _draw_target(latency: Axes, throughput: Axes, target: TargetResult) -> None:
    for engine in dict.fromkeys(each.engine for each in target.measurements):
        rows = [each for each in target.measurements if each.engine == engine]
        batches = [row.batch for row in rows]
        below = [row.latency_ms.median - row.latency_ms.p25 for row in rows]
        above = [row.latency_ms.p75 - row.latency_ms.median for row in rows]
        latency.errorbar(
            batches,
            [row.latency_ms.median for row in rows],
            [below, above],
            marker="o",
            markersize=4,
            capsize=3,
            label=engine,
        )
        throughput.plot(batches, [row.images_per_second for row in rows], marker="o", markersize=4, label=engine)
    latency.set(ylabel="median latency (ms)")
    throughput.set(ylabel="images per second")
    latency.set_title(target.target, loc="left", fontsize=10, parse_math=False)
    batches = sorted({each.batch for each in target.measurements})
    for axis in (latency, throughput):
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(batches, [str(batch) for batch in batches])
        axis.xaxis.set_minor_locator(NullLocator())
        low, high = axis.get_ylim()
        if high < LEAST_RANGE * low:  # so that a tick is in it
            middle, half = (low * high) ** 0.5, LEAST_RANGE**0.5
            axis.set_ylim(middle / half, middle * half)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.set(xlabel="batch size")
        axis.grid(alpha=0.3)
        if target.measurements:
            axis.legend(fontsize=8)
