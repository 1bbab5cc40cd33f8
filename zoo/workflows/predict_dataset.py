"""`zoo predict --data`: the first images of a dataset as files, with their names and targets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.api import NoTarget, SampleSource, Target
from zoo.errors import UsageError
from zoo.support.atomic_files import write_image


@dataclass(frozen=True)
class Samples:
    """Image files of a dataset.

    ``names`` by file: for an image of an array, dataset, split and name, such as ``digits/test/7``; otherwise the file
    name. ``truths`` by file: the targets, if there are any. ``kept``: the files are the dataset's own, not copies.
    """

    files: list[Path]
    names: Mapping[Path, str] = field(default_factory=dict)
    truths: Mapping[Path, Any] = field(default_factory=dict)
    target: Target = field(default_factory=NoTarget)
    kept: bool = True

    def name(self, file: Path) -> str:
        return self.names.get(file, str(file))


@contextmanager
def samples_of(dataset: str, part: str | None, count: int) -> Iterator[Samples]:
    """Yield the first images of a split (default: test, or all images of a dataset without splits); copies are removed
    at the end of the context.

    Raises UsageError or DataError.
    """
    from zoo.data.data_folder import Store
    from zoo.data.open_dataset import open_dataset
    from zoo.data.splits import check_split, usual_part
    from zoo.data.targets import checked_targets, target_of
    from zoo.registry.lookup import registry
    from zoo.reporting.run_results import to_image
    from zoo.runs.resolve_config import dataset_section

    section = dataset_section(registry(), dataset)
    item = registry().dataset(section.name)
    part = part or usual_part(item.spec, "test")
    opened = open_dataset(item, section.options, Store(), held_out=part == "test")
    parts: dict[str, str] = {str(name): split for name, split in opened.parts.items()}
    if part not in parts:
        raise UsageError(f"{item.canonical} has no {part} split", where="--split", fix=f"it has: {', '.join(parts)}")
    target = target_of(item, opened)
    split = check_split(item, target, parts[part], opened.load(parts[part]))
    rows = np.arange(min(count, len(split.images)))
    source, targets = split.images, split.targets
    if isinstance(source, SampleSource):
        fetched = source.targets(rows)
        targets = None if fetched is None else checked_targets(item, target, parts[part], fetched, len(rows))
    truths = list(targets[: len(rows)]) if isinstance(targets, np.ndarray) else []  # mask files are not read
    if not isinstance(source, np.ndarray | SampleSource):
        files = list(source[: len(rows)])
        yield Samples(files, {}, dict(zip(files, truths, strict=False)), target)
        return
    images = source.images(rows) if isinstance(source, SampleSource) else source[: len(rows)]
    names = [
        f"{item.spec.name}/{part}/{name}"
        for name in (split.names or [str(index) for index in range(len(images))])[: len(images)]
    ]
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        files = [Path(folder) / f"{index}.png" for index in range(len(images))]
        for file, image in zip(files, images, strict=True):
            write_image(file, to_image(image))
        yield Samples(
            files, dict(zip(files, names, strict=True)), dict(zip(files, truths, strict=False)), target, kept=False
        )
