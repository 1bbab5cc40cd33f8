"""Images beside their true and predicted masks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from zoo.api import Mask, PartView
from zoo.reporting import plots


def compared_masks(
    file: Path, part: PartView, indices: Iterable[int], masks: np.ndarray, target: Mask, heading: str
) -> None:
    """Draw samples of a split: each image, the image under its true mask if there is one, and under the predicted mask
    of ``masks``, uint8 (n, H, W)."""
    chosen = list(indices)
    images, truths = part.images_of(chosen), part.targets_of(chosen)
    plain = np.broadcast_to(images, (*images.shape[:3], 3))
    shown = {"": plain, "predicted": plots.masked(images, masks, target)}
    if truths is not None:
        shown = {"": plain, "true": plots.masked(images, truths, target), "predicted": shown["predicted"]}
    tiles = np.stack(list(shown.values()), 1).reshape(-1, *plain.shape[1:])
    titles = [title or part.names[index] for index in chosen for title in shown]
    plots.grid(file, tiles, titles, heading, columns=2 * len(shown), keys=plots.mask_keys(target))
