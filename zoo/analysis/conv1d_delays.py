"""A one-dimensional convolution seen as a running sum of delayed signals, as an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from zoo.analysis.window_arithmetic import Window
from zoo.reporting.plots import save


def signal(length: int) -> np.ndarray:
    """The example: a step up, a ramp down, one impulse; float64 (length,)."""
    place = np.arange(length) / max(1, length - 1)
    values = np.where((place > 0.12) & (place < 0.35), 1.0, 0.0) + np.where(
        (place >= 0.45) & (place < 0.7), (0.7 - place) / 0.25, 0.0
    )
    values[min(length - 1, round(0.85 * length))] += 1.0
    return np.asarray(values)


def taps(kernel: int) -> np.ndarray:
    """The example's weights, falling and with sum 1; float64 (kernel,)."""
    weights = np.arange(kernel, 0, -1, dtype=np.float64)
    return np.asarray(weights / weights.sum())


def delayed(values: np.ndarray, weights: np.ndarray, window: Window) -> np.ndarray:
    """Each tap's own contribution, (kernel, positions): row k holds w_k · x[s·n + d·k − p], zero where that is outside
    of the signal.

    The rows' sum over k is the convolution as networks compute it (a cross-correlation: the kernel is not turned
    round).
    """
    padded = np.pad(values, window.padding)
    starts = window.stride * np.arange(window.positions(len(values)))
    return np.stack([weight * padded[starts + window.dilation * tap] for tap, weight in enumerate(weights)])


def draw(file: Path, length: int, window: Window) -> None:
    """The signal, every tap's shifted and weighted copy of it, and their running sum, whose last line is the layer's
    output."""
    values, weights = signal(length), taps(window.kernel)
    copies = delayed(values, weights, window)
    sums = copies.cumsum(0)
    at = window.stride * np.arange(copies.shape[1])
    shades = colormaps["viridis"](np.linspace(0.9, 0.1, window.kernel))
    figure = Figure(figsize=(8, 8), layout="constrained")
    terms = f"kernel {window.kernel}, stride {window.stride}, padding {window.padding}, dilation {window.dilation}"
    figure.suptitle(f"conv1d, {terms}: {window.positions_formula(length)} outputs")
    axes = figure.subplots(3, 1, sharex=True)
    axes[0].plot(np.arange(length), values, color="0.2", drawstyle="steps-mid")
    axes[0].set_ylabel("signal x")
    for tap, (copy, total, shade) in enumerate(zip(copies, sums, shades, strict=True)):
        shift = window.dilation * tap - window.padding
        moved = "n" if window.stride == 1 else f"{window.stride}n"
        label = f"{weights[tap]:.2f} · x[{moved}{_signed(shift)}]" if window.kernel <= 8 else None
        axes[1].plot(at, copy, color=shade, label=label)
        axes[2].plot(at, total, color=shade, linewidth=1, label="the first taps" if tap == 0 else None)
    axes[2].plot(at, sums[-1], color="black", marker=".", markersize=4, label="all: the output")
    axes[1].set_ylabel("each tap's copy")
    axes[2].set(ylabel="running sum", xlabel="n · stride, samples of the input")
    for axis in axes:
        axis.grid(alpha=0.3)
    for axis in axes[1:]:
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save(figure, file)


def _signed(shift: int) -> str:
    return "" if shift == 0 else f" + {shift}" if shift > 0 else f" − {-shift}"
