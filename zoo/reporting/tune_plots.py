"""The plots of `zoo tune`: the trials in order, the metric against each searched key, parallel coordinates, and the
importance of each key."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zoo.reporting.plots import save
from zoo.support.formatting import label

COLOURS = {"finished": "C0", "pruned": "C1", "failed": "C3"}


class Point(NamedTuple):
    """A trial: its state, its values, and the metric that it reached (None if it completed no epoch)."""

    state: str
    params: Mapping[str, Any]
    value: float | None


def draw(
    folder: Path,
    metric: str,
    mode: Literal["max", "min"],
    trials: Sequence[Point],
    logarithmic: Collection[str],
    importances: Mapping[str, float],
) -> list[Path]:
    """Write history.png, slices.png, parallel.png and, if there are any, importances.png; return their paths.

    ``logarithmic`` are the keys that are drawn on a logarithmic scale. Trials without a value are left out.
    """
    files = [folder / f"{name}.png" for name in ("history", "slices", "parallel")]
    _history(files[0], metric, mode, trials)
    _slices(files[1], metric, trials, logarithmic)
    _parallel(files[2], metric, mode, [each for each in trials if each.state == "finished"], logarithmic)
    if importances:
        files.append(folder / "importances.png")
        _importances(files[-1], metric, importances)
    return files


def _history(file: Path, metric: str, mode: str, trials: Sequence[Point]) -> None:
    """Draw the metric of each trial, and the best finished one so far."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for state, colour in COLOURS.items():
        places = [place for place, each in enumerate(trials, 1) if each.state == state and each.value is not None]
        if places:
            axis.scatter(places, [trials[place - 1].value or 0.0 for place in places], 18, color=colour, label=state)
    best = _running_best(mode, trials)
    axis.step(range(1, len(best) + 1), best, where="post", color="0.5", linewidth=1, label="best finished", zorder=0)
    axis.set(xlabel="trial", ylabel=label(metric), title="Trials in order")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    axis.legend()
    save(figure, file)


def _running_best(mode: str, trials: Sequence[Point]) -> list[float]:
    """Return the best finished value up to each trial; NaN before the first."""
    better = max if mode == "max" else min
    best, found = float("nan"), []
    for each in trials:
        if each.state == "finished" and each.value is not None:
            best = each.value if np.isnan(best) else better(best, each.value)
        found.append(best)
    return found


def _slices(file: Path, metric: str, trials: Sequence[Point], logarithmic: Collection[str]) -> None:
    """Draw the metric against each key, coloured by state."""
    keys = list(trials[0].params)
    columns = min(3, len(keys))
    figure = Figure(figsize=(1 + 3.6 * columns, 3.6 * -(-len(keys) // columns)), layout="constrained")
    axes = figure.subplots(-(-len(keys) // columns), columns, squeeze=False).flat
    known = [each for each in trials if each.value is not None]
    for axis, key in zip(axes, keys, strict=False):
        places, names = _places([each.params[key] for each in known])
        values = [each.value or 0.0 for each in known]
        axis.scatter(places, values, 18, color=[COLOURS[each.state] for each in known])
        if key in logarithmic:
            axis.set_xscale("log")
        if names:
            axis.set_xticks(range(len(names)), names, parse_math=False)
        axis.set_xlabel(key, parse_math=False)
        axis.set_ylabel(label(metric))
        axis.grid(alpha=0.3)
    for axis in list(axes)[len(keys) :]:
        axis.set_axis_off()
    save(figure, file)


def _places(values: Sequence[Any]) -> tuple[list[float], list[str]]:
    """Return the position of each value on an axis: numbers as they are, others by name, with the names in order."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return [float(value) for value in values], []
    names = sorted({str(value) for value in values})
    return [float(names.index(str(value))) for value in values], names


def _parallel(file: Path, metric: str, mode: str, trials: Sequence[Point], logarithmic: Collection[str]) -> None:
    """Draw a line for each finished trial across the searched keys and the metric; the best lines are dark."""
    figure = Figure(figsize=(2 + 1.6 * (len(trials[0].params) + 1) if trials else 4, 4), layout="constrained")
    axis = figure.subplots()
    values = [each.value or 0.0 for each in trials]
    axes = {key: [each.params[key] for each in trials] for key in (trials[0].params if trials else ())}
    heights = np.array([*(_height(column, key in logarithmic) for key, column in axes.items()), _height(values, False)])
    quality = heights[-1] if mode == "max" else 1 - heights[-1]
    for line in np.argsort(quality):
        axis.plot(heights[:, line], color=colormaps["Blues"](0.25 + 0.75 * quality[line]), linewidth=1.2)
    for place, column in enumerate([*axes.values(), values]):
        axis.axvline(place, color="0.7", linewidth=0.8, zorder=0)
        for name, height in _ends(column, heights[place]):
            axis.annotate(name, (place, height), (3, 0), "data", "offset points", fontsize=7, parse_math=False)
    axis.set_xticks(range(len(axes) + 1), [*axes, metric], parse_math=False)
    axis.set(yticks=[], title="Finished trials", xlim=(-0.1, len(axes) + 0.5))
    save(figure, file)


def _importances(file: Path, metric: str, importances: Mapping[str, float]) -> None:
    """Draw a bar for each key, the most important at the top."""
    figure = Figure(figsize=(7, 1.2 + 0.45 * len(importances)), layout="constrained")
    axis = figure.subplots()
    bars = axis.barh(range(len(importances)), list(importances.values()), 0.6)
    axis.bar_label(bars, fmt="{:.0%}", padding=3)
    axis.set_yticks(range(len(importances)), list(importances), parse_math=False)
    axis.invert_yaxis()
    told = f"share of the variance of {metric.replace('_', ' ')} (fANOVA)"
    axis.set(xlabel=told, title="Importance of each key", xlim=(0, 1.1 * max(importances.values())))
    save(figure, file)


def _height(values: Sequence[Any], logarithmic: bool) -> np.ndarray:
    """Return values scaled to 0 … 1; equal ones are in the middle."""
    places = np.array(_places(values)[0])
    places = np.log(places) if logarithmic else places
    span = np.ptp(places) if len(places) else 0.0
    return (places - places.min()) / span if span > 0 else np.full(len(places), 0.5)


def _ends(values: Sequence[Any], heights: np.ndarray) -> list[tuple[str, float]]:
    """Return the labels of an axis: the lowest and the highest number, or every name, with its height."""
    if not _places(values)[1]:
        ends = dict.fromkeys((int(np.argmin(heights)), int(np.argmax(heights))))
        return [(f"{values[place]:.4g}", float(heights[place])) for place in ends]
    return list({str(value): float(height) for value, height in zip(values, heights, strict=True)}.items())
