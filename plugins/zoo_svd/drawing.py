"""The images of ``svd_image`` and of ``zoo svd ellipse``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.plugin import save_figure
from zoo_svd.factors import Factors
from zoo_svd.linear_map import eigen

LARGEST_SIDE = 4.2
"""Inches of an image's longer side."""


def side_by_side(file: Path, tiles: Sequence[tuple[np.ndarray, str]], heading: str) -> None:
    """Images uint8 (H, W, C) of one size in a row, each under its title."""
    height, width = tiles[0][0].shape[:2]
    scale = LARGEST_SIDE / max(height, width)
    figure = Figure(figsize=(max(2.6, width * scale) * len(tiles), height * scale + 1.1), layout="constrained")
    figure.suptitle(heading, parse_math=False)
    for axis, (image, title) in zip(figure.subplots(1, len(tiles), squeeze=False)[0], tiles, strict=True):
        axis.set_axis_off()
        axis.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=9, parse_math=False)
    save_figure(figure, file)


def spectra(file: Path, values: Mapping[str, np.ndarray], ranks: Sequence[int]) -> None:
    """All singular values of each image, and the share of the energy in the largest ones; ``ranks`` are marked."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, each in values.items():
        energy = np.cumsum(np.square(each)) / max(float(np.square(each).sum()), 1e-300)
        left.semilogy(np.arange(1, len(each) + 1), np.maximum(each, each[0] * 1e-8), label=name)
        right.semilogy(np.arange(1, len(each) + 1), np.maximum(1 - energy, 1e-8), label=name)
    left.set(xlabel="index", ylabel="singular value", title="singular values")
    right.set(xlabel="rank", ylabel="share of the energy", title="energy that a rank leaves out")
    for axis in (left, right):
        for rank in ranks:
            axis.axvline(rank, color="0.6", linewidth=0.8, linestyle="--")
        axis.grid(alpha=0.3)
    left.legend(fontsize=8)
    save_figure(figure, file)


def rates(
    file: Path,
    curve: Sequence[Mapping[str, float]],
    others: Mapping[str, Sequence[tuple[int, float]]],
    raw: int,
    heading: str,
) -> None:
    """PSNR against bytes: factors in float32 and in 8 bits, and other formats as (bytes, PSNR)."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    axis.plot(
        [point["float_bytes"] for point in curve],
        [point["psnr"] for point in curve],
        marker="o",
        markersize=3,
        label="SVD, float32",
    )
    axis.plot(
        [point["bytes"] for point in curve],
        [point["rounded_psnr"] for point in curve],
        marker="o",
        markersize=3,
        label="SVD, 8 bits",
    )
    for name, points in others.items():
        axis.plot(*zip(*points, strict=True), marker="s", markersize=3, label={"WEBP": "WebP"}.get(name, name))
    axis.axvline(raw, color="0.5", linewidth=0.8, linestyle="--")
    axis.annotate(
        "the image itself", (raw, axis.get_ylim()[0]), rotation=90, va="bottom", ha="right", fontsize=8, color="0.4"
    )
    axis.set(xscale="log", xlabel="bytes", ylabel="PSNR in dB", title=heading)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    save_figure(figure, file)


def denoising(file: Path, ranks: Sequence[int], reached: Sequence[float], noisy: float, heading: str) -> None:
    """PSNR to the image without noise, by rank; ``noisy`` is that of the noisy image itself."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axis = figure.subplots()
    best = int(np.argmax(reached))
    axis.plot(ranks, reached, label="rebuilt from the noisy one")
    axis.plot(
        ranks[best], reached[best], "o", color="#1a7f37", label=f"best: rank {ranks[best]}, {reached[best]:.2f} dB"
    )
    axis.axhline(noisy, color="0.5", linestyle="--", linewidth=1, label=f"the noisy image, {noisy:.2f} dB")
    axis.set(xscale="log", xlabel="rank", ylabel="PSNR in dB to the image without noise", title=heading)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    save_figure(figure, file)


def heat_map(file: Path, factors: Factors, heading: str) -> None:
    """U, Σ and Vᵀ as heat maps; vectors from blue (negative) to red, singular values on a logarithmic scale."""
    u, vt = factors.orthonormal()
    values = np.full((factors.rank, factors.rank), np.nan)
    np.fill_diagonal(values, np.log10(np.maximum(factors.values, 1e-12)))
    figure = Figure(figsize=(11, 4), layout="constrained")
    figure.suptitle(heading, parse_math=False)
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.4))
    for axis, matrix, title in ((axes[0], u, "U"), (axes[2], vt, "Vᵀ")):
        limit = float(np.quantile(np.abs(matrix), 0.99)) or 1.0
        axis.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        axis.set_title(f"{title}  {matrix.shape[0]}×{matrix.shape[1]}")
    figure.colorbar(
        axes[1].imshow(values, cmap="viridis", aspect="auto", interpolation="nearest"),
        ax=axes[1],
        label="log₁₀ σ",
        shrink=0.8,
    )
    axes[1].set_title(f"Σ  {factors.rank}×{factors.rank}")
    save_figure(figure, file)


def ellipse(file: Path, matrix: np.ndarray) -> None:
    """Plot the unit circle and its image under a 2×2 matrix, with the eigenvectors (where they are real) and the
    singular vectors."""
    left, values, right = np.linalg.svd(matrix)
    found = eigen(matrix)
    angle = np.linspace(0, 2 * np.pi, 361)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    before, after = figure.subplots(1, 2)
    before.plot(*circle, color="0.3")
    after.plot(*circle, color="0.8")
    after.plot(*(matrix @ circle), color="0.3")
    for index, colour in enumerate(("#0969da", "#bc4c00")):
        _arrow(before, right[index], colour, f"v{index + 1}")
        _arrow(
            after,
            values[index] * left[:, index],
            colour,
            f"σ{index + 1}·u{index + 1}, σ{index + 1} = {values[index]:.3g}",
        )
    for index, vector in enumerate(found.vectors):
        root = found.values[min(index, len(found.values) - 1)].real
        line = np.stack([np.negative(vector), vector]) / np.hypot(*vector)
        before.plot(*line.T, color="#1a7f37", linestyle="--", linewidth=1)
        after.plot(*(root * line).T, color="#1a7f37", linestyle="--", linewidth=1, label=f"eigenvector, λ = {root:.3g}")
    rows = " ; ".join(" ".join(f"{each:g}" for each in row) for row in matrix)
    before.set_title("the unit circle and the right singular vectors")
    after.set_title(f"what [{rows}] makes of it")
    for axis in (before, after):
        axis.set_aspect("equal")
        axis.grid(alpha=0.3)
    after.legend(fontsize=8, loc="upper left")
    before.legend(fontsize=8, loc="upper left")
    save_figure(figure, file)


def _arrow(axis: Axes, to: np.ndarray, colour: str, label: str) -> None:
    axis.annotate(
        "", (float(to[0]), float(to[1])), (0, 0), arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 2}
    )
    axis.plot([], [], color=colour, linewidth=2, label=label)
