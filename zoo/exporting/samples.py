"""Real pictures to prove an export on: the model's own report data or, where that is absent, the embedded dataset nearest to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from zoo.config import DatasetSection
from zoo.data import LoadedPart, open_data
from zoo.errors import DataError, ExportError, UsageError
from zoo.registry import Item, Registry

if TYPE_CHECKING:
    from zoo.api import DatasetSpec
    from zoo.loading import LoadedModel

PARTS = ("report", "select", "train", "predict")
"""In the order of preference; every part will do to compare two engines, the report part gives the figure too."""


class Samples(NamedTuple):
    """``judged`` says whether the labels are those of the model's classes; ``why`` names the choice where it is not the run's own data."""

    dataset: str
    part: str
    fingerprint: str
    view: LoadedPart
    judged: bool
    why: str | None


def real_samples(registry: Registry, loaded: LoadedModel) -> Samples:
    """Nothing is ever downloaded for it. Raises ExportError where neither the data nor an embedded dataset is here."""
    own = loaded.config.dataset
    try:
        return _open(registry, own, loaded, None)
    except DataError:
        absent = f"{own.name} is not on this machine"
    for item in _nearest(registry, loaded):
        section = DatasetSection(name=item.canonical, permute_pixels=own.permute_pixels)
        try:
            return _open(registry, section, loaded, f"{absent}; {item.canonical} is the embedded dataset nearest to it")
        except DataError:
            continue
    raise ExportError(
        f"there are no real pictures to prove the export on: {absent}", fix=f"get the data first, for example: zoo run --data {own.name}"
    )


def _open(registry: Registry, section: DatasetSection, loaded: LoadedModel, why: str | None) -> Samples:
    item = registry.dataset(section.name)
    for part in PARTS:
        try:
            data = open_data(
                registry, section, torch.device("cpu"), preprocessing=loaded.preprocessing, parts=(part,), seed=loaded.config.seed, download=False
            )
        except UsageError:  # it has no such part
            continue
        view = data.part(part)
        judged = view.labels is not None and data.classes == loaded.classes
        return Samples(data.name, part, data.fingerprint, view, judged, why)
    raise DataError(f"{item.canonical} has no pictures")


def _nearest(registry: Registry, loaded: LoadedModel) -> list[Item[DatasetSpec]]:
    """Embedded datasets: the same number of classes first, then the same channels, then the nearest side."""
    wanted = loaded.preprocessing

    def distance(item: Item[DatasetSpec]) -> tuple[bool, bool, int, str]:
        spec = item.spec
        channels, height, _ = spec.shape
        side = abs(height - wanted.height) if height is not None else 10**6
        return len(spec.classes) != len(loaded.classes), channels != wanted.channels, side, item.canonical

    return sorted((item for item in registry.items("dataset") if item.spec.embedded), key=distance)
