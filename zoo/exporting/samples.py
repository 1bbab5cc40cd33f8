"""Real images for the verification of an export: the model's own test data, otherwise the samples in its run, otherwise
the closest embedded dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from zoo.api import Mask, Split
from zoo.data.data_loader import AnyPart, open_data
from zoo.data.loaded_part import LoadedPart
from zoo.data.preprocessing import Preprocessing
from zoo.errors import DataError, ExportError, UnknownNameError, UsageError
from zoo.exporting.decision_rules import names_of
from zoo.registry.catalogue import LOCAL
from zoo.registry.lookup import Item, Registry
from zoo.runs.resolve_config import dataset_section

if TYPE_CHECKING:
    from zoo.api import DatasetSpec
    from zoo.config.run_config import DatasetSection
    from zoo.runs.load_model import LoadedModel

PARTS = ("test", "val", "train", "predict")
"""The order of preference. Any split allows the comparison of two engines; the test split also gives its metrics."""


class Samples(NamedTuple):
    """Images and targets. ``scored``: the targets are of the model's kind and names. ``why`` explains the choice if it
    is not the run's own data. ``ignore`` is the value of ignored pixels in target masks."""

    dataset: str
    part: str
    fingerprint: str
    view: AnyPart
    scored: bool
    why: str | None
    ignore: int | None = None


def real_samples(registry: Registry, loaded: LoadedModel, dataset: str | None = None) -> Samples:
    """Return images for the verification, without downloads: those of ``dataset``, by default the model's own, or a
    substitute. Raises ExportError if there are none."""
    own = loaded.config.dataset
    if dataset is not None:
        section = dataset_section(registry, dataset, permute_pixels=loaded.preprocessing.permute_pixels)
        return _open(registry, section, loaded, None, held_out=True)
    try:
        return _open(registry, own, loaded, None)
    except UnknownNameError:
        absent = f"the dataset {own.name} is not installed"
    except DataError as error:
        absent = f"the data of {own.name} is not on this machine ({error.what})"
    kept = _kept_by_run(loaded, absent)
    if kept is not None:
        return kept
    for item in _nearest(registry, loaded):
        section = dataset_section(registry, item.canonical, permute_pixels=own.permute_pixels)
        try:
            return _open(
                registry,
                section,
                loaded,
                f"{absent}; verified on {item.canonical}, the most similar dataset without a download",
            )
        except DataError:
            continue
    raise ExportError(
        f"there are no real images to verify the export on: {absent}",
        fix="name a dataset that is on this machine: --data D",
    )


def _open(
    registry: Registry, section: DatasetSection, loaded: LoadedModel, why: str | None, *, held_out: bool = False
) -> Samples:
    """``held_out`` opens the data of others, all of which may serve as a test split."""
    item = registry.dataset(section.name)
    for part in PARTS:
        try:
            data = open_data(
                registry,
                section,
                torch.device("cpu"),
                preprocessing=loaded.preprocessing,
                parts=(part,),
                seed=loaded.config.seed,
                download=False,
                held_out=held_out and part == "test",
            )
        except UsageError:  # no such split
            continue
        view = data.part(part)
        scored = view.targets is not None and data.target == loaded.target
        ignore = data.target.ignore if isinstance(data.target, Mask) else None
        return Samples(data.name, part, data.fingerprint, view, scored, why, ignore)
    raise DataError(f"{item.canonical} has no images", fix="check the dataset with `zoo data check`")


def _kept_by_run(loaded: LoadedModel, absent: str) -> Samples | None:
    """Return the images in a run's folder, without labels, since they are too few for an accuracy."""
    from zoo.runtime import find_images

    if loaded.run is None or not loaded.run.samples.is_dir():
        return None
    try:
        files = find_images([loaded.run.samples]).files
        view = part_of_files(files, loaded.preprocessing)
    except (ValueError, OSError):  # an empty folder or a damaged file: fall back to the embedded datasets
        return None
    fingerprint = str(loaded.origin.get("fingerprint", ""))
    why = f"{absent}; verified on the {len(files)} images in the run's samples/"
    return Samples(loaded.config.dataset.name, "samples", fingerprint, view, scored=False, why=why)


def part_of_files(files: Sequence[Path], preprocessing: Preprocessing) -> LoadedPart:
    """Return a split of image files without labels. Raises ValueError if one cannot be read."""

    def decode(paths: Sequence[Path], how: Preprocessing) -> np.ndarray:
        return np.stack([how.read(path) for path in paths])

    return LoadedPart(Split(files, None), preprocessing, torch.device("cpu"), decode)


def _nearest(registry: Registry, loaded: LoadedModel) -> list[Item[DatasetSpec]]:
    """Return the embedded datasets of plugins, sorted by number of classes, channels and image size like the model's.

    Arrays that this process passed from Python are left out: what an export is verified on depends on no earlier call.
    """
    wanted, names = loaded.preprocessing, names_of(loaded.decision)

    def distance(item: Item[DatasetSpec]) -> tuple[bool, bool, int, str]:
        spec = item.spec
        channels, height, _ = spec.shape
        side = abs(height - wanted.height) if height is not None else 10**6
        return len(spec.classes) != len(names), channels != wanted.channels, side, item.canonical

    embedded = [item for item in registry.items("dataset") if item.spec.embedded and item.plugin.namespace != LOCAL]
    return sorted(embedded, key=distance)
