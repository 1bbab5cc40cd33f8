"""The plots of a run. Each function writes one PNG with matplotlib's figure objects, without global state."""

from __future__ import annotations

import textwrap
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from zoo.api import Mask, PartView, Target
from zoo.data.targets import described
from zoo.reporting.image_grid import Key, image_grid
from zoo.support.atomic_files import replacement, write_image
from zoo.support.formatting import label
from zoo.support.paths import check_drawing

LUMA = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in the gray value of a pixel (ITU-R BT.601)."""
RIGHT, WRONG = "#1a7f37", "#cf222e"
VECTORS = (".pdf", ".svg", ".eps")
KEYS = 20
"""The maximum number of mask classes in a legend."""
CELL = (1.7, 1.85)
"""Width and height of an image with its title in a grid, in inches."""


def save(figure: Figure, file: Path) -> None:
    """Save a figure in the format of the suffix, one of `zoo.support.paths.DRAWINGS`.

    Characters that the font lacks are drawn as boxes; the tables beside the plots have the full names.
    """
    check_drawing(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacement(file) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(temporary, dpi=120, format=file.suffix[1:])


def grid(
    file: Path,
    images: np.ndarray,
    titles: Sequence[str],
    heading: str,
    colours: Sequence[str] | None = None,
    columns: int = 5,
    keys: Sequence[Patch] = (),
) -> None:
    """Draw titled images, uint8 (n, H, W, C), in rows of ``columns``, with a legend of ``keys`` below."""
    check_drawing(file)
    if file.suffix.lower() not in VECTORS:
        named = [Key(_bytes_of(key), _short(str(key.get_label()))) for key in keys]
        sheet = image_grid(images, [_short(title) for title in titles], heading, colours, columns, named)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(file, sheet, compress_level=1)  # photographs: a fifth larger than at 6, in a third of the time
        return
    rows, lines = max(1, -(-len(images) // columns)), textwrap.wrap(heading, 17 * columns)
    legend = 0.25 * -(-len(keys) // columns) + 0.2 if keys else 0.0
    width, height = CELL[0] * columns, CELL[1] * rows + 0.2 * len(lines) + 0.2 + legend  # inches
    figure = Figure(figsize=(width, height))
    figure.suptitle("\n".join(lines), y=1 - 0.1 / height, parse_math=False)
    # One axes in inches for all images, because the layout of one axes an image takes most of a second.
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axis.set_axis_off()
    for index, (image, title) in enumerate(zip(images, titles, strict=False)):
        row, column = divmod(index, columns)
        left, bottom = CELL[0] * column, legend + CELL[1] * (rows - 1 - row)
        top = _place(axis, image, left, bottom)
        colour = colours[index] if colours else "black"
        middle = left + CELL[0] / 2
        axis.text(middle, top + 0.06, _short(title), fontsize=9, color=colour, ha="center", parse_math=False)
    if keys:
        for text in figure.legend(handles=keys, loc="lower center", ncols=columns).get_texts():
            text.set_parse_math(False)
    save(figure, file)


def _place(axis: Axes, image: np.ndarray, left: float, bottom: float) -> float:
    """Draw an image in the middle of a cell whose corner is given, below its title, and return the height of its upper
    edge; ``axis`` is in inches."""
    space = CELL[0] - 0.08, CELL[1] - 0.28
    scale = min(space[0] / image.shape[1], space[1] / image.shape[0])
    width, height = image.shape[1] * scale, image.shape[0] * scale
    left += (CELL[0] - width) / 2
    bottom += (space[1] - height) / 2 + 0.05
    _show(axis, image, extent=(left, left + width, bottom, bottom + height), aspect="auto")
    return float(bottom + height)


def _bytes_of(key: Patch) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in to_rgb(key.get_facecolor()))
    return red, green, blue


def heated(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return images, uint8 (n, H, W, 3), overlaid with the colours of ``maps``, float (n, H, W), 0 to 1."""
    colours = 255 * colormaps["turbo"](maps)[..., :3]
    return np.asarray(np.rint(0.5 * images + 0.5 * colours), np.uint8)


def masked(images: np.ndarray, masks: np.ndarray, target: Mask) -> np.ndarray:
    """Return images, uint8 (n, H, W, 1 or 3), overlaid with the colours of the classes in ``masks``, uint8 (n, H, W).

    The images are turned gray under the colours, so that a class has the same hue on all; ignored pixels keep theirs.
    """
    palette = _palette(target)
    colour = 255 * palette(masks % palette.N)[..., :3]
    plain = np.broadcast_to(images, (*images.shape[:3], 3))
    gray = (plain @ LUMA)[..., None]
    ignored = (masks == target.ignore)[..., None]
    return np.asarray(np.where(ignored, plain, np.rint(0.5 * gray + 0.5 * colour)), np.uint8)


def mask_keys(target: Mask, present: Iterable[int] | None = None) -> list[Patch]:
    """Return the legend entries of the first classes, of all or of those that are ``present``."""
    palette = _palette(target)
    places = list(range(len(target.names)) if present is None else present)[:KEYS]
    return [Patch(color=palette(place % palette.N), label=target.names[place]) for place in places]


def _palette(target: Mask) -> Colormap:
    if target.colours:
        return ListedColormap([tuple(value / 255 for value in colour) for colour in target.colours])
    return colormaps["tab10" if len(target.names) <= 10 else "tab20"]


def samples(file: Path, part: PartView, target: Target, heading: str, count: int = 20) -> None:
    """Draw the first images of a split, in rows of five, with their targets as titles and masks as overlays."""
    indices = range(min(count, len(part)))
    images, keys = part.images_of(indices), list[Patch]()
    masks = part.targets_of(indices) if isinstance(target, Mask) else None
    if isinstance(target, Mask) and masks is not None:
        images, keys = masked(images, masks, target), mask_keys(target)
    grid(file, images, titles_of(part, target, indices), heading, keys=keys)


def titles_of(part: PartView, target: Target, indices: Iterable[int]) -> list[str]:
    """Return the titles of samples: their targets, or their names if there are no targets."""
    chosen = list(indices)
    targets, names = part.targets_of(chosen), part.names
    return [described(target, targets, place) or names[index] for place, index in enumerate(chosen)]


def permuted_pairs(file: Path, plain: np.ndarray, permuted: np.ndarray, titles: Sequence[str], heading: str) -> None:
    """Draw images above their versions with permuted pixels, both uint8 (n, H, W, C)."""
    count = len(plain)
    grid(file, np.concatenate([plain, permuted]), [*titles, *[""] * count], heading, columns=count)


def predictions(
    file: Path,
    part: PartView,
    indices: Iterable[int],
    probabilities: np.ndarray,
    labels: np.ndarray | None,
    classes: Sequence[str],
    heading: str,
) -> None:
    """Draw images with prediction and probability: green if correct, red with the true class if wrong, black if the
    true class is unknown."""
    chosen = list(indices)
    titles, colours = [], []
    for index in chosen:
        guess, truth = int(probabilities[index].argmax()), None if labels is None else int(labels[index])
        told = f"{classes[guess]} {probabilities[index].max():.0%}"
        titles.append(told if truth in (None, guess) else f"{told}, is {classes[truth or 0]}")
        colours.append("black" if truth is None else RIGHT if guess == truth else WRONG)
    images = part.images_of(chosen) if chosen else np.empty((0, 1, 1, 1), np.uint8)
    grid(file, images, titles, heading, colours)


def confusion(file: Path, matrix: Sequence[Sequence[int]], classes: Sequence[str], heading: str) -> None:
    """Draw a confusion matrix (truth by row, prediction by column), shaded by the share of the row; with numbers if
    there is room."""
    counts = np.asarray(matrix)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = float(np.clip(0.42 * len(classes) + 2, 4, 16))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axis = figure.subplots()
    figure.colorbar(
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1),
        ax=axis,
        label="fraction of the samples of the true class",
        shrink=0.8,
    )
    axis.set(xlabel="predicted class", ylabel="true class", title=heading)
    if len(classes) <= 40:
        names = [_short(name) for name in classes]
        axis.set_xticks(range(len(classes)), names, rotation=90 if max(map(len, names)) > 3 else 0, parse_math=False)
        axis.set_yticks(range(len(classes)), names, parse_math=False)
    if len(classes) <= 20:
        for row, column in np.argwhere(counts > 0):
            dark = "white" if share[row, column] > 0.5 else "black"
            axis.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=dark)
    save(figure, file)


Rows = Sequence[Mapping[str, float]]


def draws_batches(rows: Rows, steps: Rows) -> bool:
    """Return whether `curves` draws the loss of batches: a line through fewer points says less than the epochs."""
    return len(steps) > len(rows) > 0


def curves(file: Path, rows: Rows, steps: Rows, heading: str) -> None:
    """Plot the loss of batches (``steps``), its mean in each epoch (``rows``) and, validation metrics, if there are
    any, all by epoch; those beyond 1, as errors in units are, in a panel of their own."""
    selected = [name for name in (rows[0] if rows else {}) if name.startswith("val_")]
    measured = [name for name in selected if not name.endswith("loss")]
    large = [name for name in measured if max(row[name] for row in rows) > 1]
    panels = [panel for panel in (large, [name for name in measured if name not in large]) if panel]
    figure = Figure(figsize=(6 if not panels else 1 + 4 * (1 + len(panels)), 3.8), layout="constrained")
    figure.suptitle(heading)
    axes = figure.subplots(1, 1 + len(panels), squeeze=False)[0]
    at = [row["epoch"] for row in rows]
    if draws_batches(rows, steps):
        epoch_of_a_step = rows[-1]["epoch"] / rows[-1]["step"]
        axes[0].plot(
            [line["step"] * epoch_of_a_step for line in steps],
            [line["loss"] for line in steps],
            color="0.7",
            linewidth=1,
            label="train, single batches",
        )
    axes[0].plot(at, [row["train_loss"] for row in rows], marker="o", markersize=3, label="train, mean of each epoch")
    if "val_loss" in selected:
        axes[0].plot(at, [row["val_loss"] for row in rows], marker="o", markersize=3, label="val")
    axes[0].set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis, panel in zip(axes[1:], panels, strict=True):
        for place, name in enumerate(panel):  # the first, which is the best known, on top
            values = [row[name] for row in rows]
            axis.plot(at, values, marker="o", markersize=3, zorder=3 - 0.01 * place, label=label(name))
        axis.set(xlabel="epoch", ylabel="metric")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend()
    save(figure, file)


def compared_curves(file: Path, runs: Mapping[str, tuple[Rows, Rows]], heading: str) -> None:
    """Plot train loss and validation metrics of several runs, name → (epochs, steps), by epoch; the loss by step if no
    run has two epochs."""
    by_epoch = any(len(rows) > 1 for rows, _ in runs.values())
    metrics = (
        dict.fromkeys(name for rows, _ in runs.values() for row in rows[:1] for name in row if name.startswith("val_"))
        if by_epoch
        else {}
    )
    panels = ["train_loss" if by_epoch else "loss", *metrics]
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(1.5 + 4.5 * columns, 3.8 * lines + 0.25 * len(runs)), layout="constrained")
    figure.suptitle(heading)
    axes = figure.subplots(lines, columns, squeeze=False).flat
    for axis, metric in zip(axes, panels, strict=False):
        for place, (rows, steps) in enumerate(runs.values()):
            drawn = [row for row in (rows if by_epoch else steps) if metric in row]
            at = [row["epoch" if by_epoch else "step"] for row in drawn]
            axis.plot(
                at, [row[metric] for row in drawn], color=f"C{place}", marker="o" if by_epoch else None, markersize=3
            )
        axis.set(
            xlabel="epoch" if by_epoch else "step",
            ylabel=label(metric) if by_epoch else "batch loss",
        )
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    for axis in list(axes)[len(panels) :]:
        axis.set_axis_off()
    keys = [Line2D([], [], color=f"C{place}") for place in range(len(runs))]
    legend = figure.legend(keys, list(runs), loc="outside lower center", ncols=min(3, len(runs)))
    for text in legend.get_texts():
        text.set_parse_math(False)
    save(figure, file)


def _show(axis: Axes, image: np.ndarray, **options: Any) -> None:
    gray: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
    axis.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, **gray, **options)


def _short(text: str, length: int = 24) -> str:
    """Shorten text to one line, without characters that change the text direction."""
    text = " ".join("".join(char for char in text if unicodedata.category(char) != "Cf").split())
    return text if len(text) <= length else text[: length - 1] + "…"
