"""`zoo show`: draw images of a dataset, plain, with permuted pixels, or with augmented versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from zoo.api import Mask
from zoo.config.augmentation_options import parse_augment
from zoo.config.run_config import DatasetSection
from zoo.data.data_loader import AnyPart, Data, open_data
from zoo.data.splits import usual_part
from zoo.errors import UsageError
from zoo.registry.lookup import registry
from zoo.reporting import plots
from zoo.runs.resolve_config import dataset_section
from zoo.support.atomic_files import storage_errors
from zoo.support.paths import optional_path

COLUMNS = 5
AUGMENTED = 4
"""The default number of images with ``augment``."""
PAIRS = 10
"""The number of images per row with ``permute_pixels``."""


class Shown(NamedTuple):
    """The PNG file, the split, and notes about the data."""

    file: Path
    part: str
    notes: tuple[str, ...] = ()


def show(
    dataset: str,
    *,
    split: str | None = None,
    count: int | None = None,
    permute_pixels: int | None = None,
    augment: str | Sequence[dict[str, dict[str, Any]]] = (),
    options: dict[str, Any] | None = None,
    out: str | Path | None = None,
) -> Shown:
    """Draw the first images of a split (default: train) into a PNG.

    ``count`` defaults to 20, or 4 with ``augment``. ``options`` are keys of the dataset section. ``permute_pixels``
    adds each image with permuted pixels below it; ``augment`` ("flip, crop: 4", or a canonical specification) draws a
    row for each image with its augmented versions of the first epochs. Raises UsageError, DataError or StorageError.
    """
    augment = parse_augment(augment) if isinstance(augment, str) else augment
    if count is None:
        count = AUGMENTED if augment else 20
    if count < 1:
        raise UsageError(f"--count must be at least 1, not {count}", fix="for example --count 20")
    if permute_pixels is not None and augment:
        raise UsageError("--permute-pixels and --augment cannot be combined", fix="remove one of them")
    section = dataset_section(registry(), dataset, **(options or {}))
    split = split or usual_part(registry().dataset(section.name).spec, "train")
    data = open_data(registry(), section, torch.device("cpu"), parts=(split,))
    bare = section.name.rpartition("/")[2]
    file = optional_path(out) or Path(f"{bare}-{split}.png")
    if not file.suffix:
        file = file.with_suffix(".png")
    with storage_errors(file):
        _draw(file, bare, data, split, count, permute_pixels, augment, section)
    return Shown(file, split, data.notes)


def _draw(
    file: Path,
    name: str,
    data: Data,
    split: str,
    count: int,
    permute_pixels: int | None,
    augment: Sequence[dict[str, dict[str, Any]]],
    section: DatasetSection,
) -> None:
    part = data.part(split)
    size = "×".join(map(str, data.preprocessing.shape))
    heading = f"{name}, {split} split: {min(count, len(part)):,} of {len(part):,} images, {size}"
    if permute_pixels is not None:
        other = open_data(
            registry(),
            section.model_copy(update={"permute_pixels": permute_pixels}),
            torch.device("cpu"),
            parts=(split,),
        )
        shown = range(min(count, PAIRS, len(part)))
        titles = _titles(part, data, shown)
        plots.permuted_pairs(
            file,
            part.images_of(shown),
            other.part(split).images_of(shown),
            titles,
            f"{name}: pixels permuted by seed {permute_pixels}",
        )
    elif augment:
        _draw_augmented(file, part, data, count, augment, f"{name}: {', '.join(next(iter(step)) for step in augment)}")
    else:
        plots.samples(file, part, data.target, heading, count)


def _draw_augmented(
    file: Path, part: AnyPart, data: Data, count: int, augment: Sequence[dict[str, dict[str, Any]]], heading: str
) -> None:
    rows = range(min(count, len(part)))
    augmenter, indices = part.augmenter(augment, 0), np.array(rows)
    plain = part.images_of(rows)
    masks = part.targets_of(rows) if isinstance(data.target, Mask) else None
    changed = [part.augmented(indices, augmenter.of_epoch(epoch)) for epoch in range(COLUMNS - 1)]
    whole = [plain, *(each.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy() for each, _ in changed)]
    if isinstance(data.target, Mask) and masks is not None:
        moved = [masks, *(each.numpy() for _, each in changed if each is not None)]
        whole = [plots.masked(each, mask, data.target) for each, mask in zip(whole, moved, strict=True)]
    # (rows, columns, H, W, C) → (rows · columns, H, W, C)
    shown = np.stack(whole, 1).reshape(-1, *whole[0].shape[1:])
    titles = [
        title
        for name in _titles(part, data, rows)
        for title in (name, *(f"epoch {epoch + 1}" for epoch in range(COLUMNS - 1)))
    ]
    keys = plots.mask_keys(data.target) if isinstance(data.target, Mask) else ()
    plots.grid(file, shown, titles, heading, columns=COLUMNS, keys=keys)


def _titles(part: AnyPart, data: Data, shown: Sequence[int]) -> list[str]:
    return plots.titles_of(part, data.target, shown)
