"""`zoo data check`: open every split of a dataset, count its images, and compare its files with the official ones."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.api import Dataset, Part, SampleSource, Split
from zoo.contract.targets import class_names
from zoo.data.data_folder import Digests, Store
from zoo.data.decoding import SAY_FROM
from zoo.data.open_dataset import open_dataset
from zoo.data.splits import check_split
from zoo.data.targets import checked_targets, target_of
from zoo.data.value_range import choose_value_range
from zoo.errors import ZooError
from zoo.runtime import read_image
from zoo.support.paths import data_root
from zoo.support.progress import tracked
from zoo.workflows.data_download import Needs

Read = Callable[[Path], Image.Image]

EXAMPLES = 5
"""The number of first, duplicate and unreadable images that are listed."""
FETCHED = 256
"""The batch size for samples of a `SampleSource`."""
DIGEST = 16
"""The digest size of an image in bytes: among 2^32 different images, two agree by chance with probability 2^-64."""


@dataclass(frozen=True)
class PartReport:
    """A split: its name, its number of images, in total and by class (None: no labels), their shapes (C×H×W), and the
    names of the first ones."""

    part: str
    split: str
    samples: int
    classes: dict[str, int] | None
    shapes: dict[str, int]
    first: list[str]


@dataclass
class Duplicates:
    """Images with exactly the same content: within a split, in two splits, and with different labels."""

    within: dict[str, int] = field(default_factory=dict)
    across: dict[str, int] = field(default_factory=dict)
    contradicting: int = 0
    examples: list[list[str]] = field(default_factory=list)


@dataclass
class Report:
    """The result of the check.

    ``files`` has an entry for each file, with ``official`` for its content; ``problems`` make the dataset unusable.
    """

    dataset: str
    files: list[dict[str, Any]] = field(default_factory=list)
    parts: list[PartReport] = field(default_factory=list)
    duplicates: Duplicates = field(default_factory=Duplicates)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ok": not self.problems}


@dataclass(frozen=True)
class Images:
    """The images of a split, by digest (None: unreadable)."""

    names: Sequence[str]
    targets: np.ndarray | None
    digests: Sequence[bytes | None]


def check(need: Needs) -> Report:
    """Check every split of a dataset whose files exist.

    Problems are part of the report. Raises DataError only if files are missing.
    """
    item, report = need.item, Report(need.item.canonical)
    report.files = [{**file, "official": _official(file)} for file in need.files()]
    report.notes = [f"read from {archive} instead of the official files" for archive in need.instead]
    store, seen = Store(download=False), dict[str, Images]()
    try:
        dataset = open_dataset(item, need.section.options, store)
        target, parts = target_of(item, dataset), dict(dataset.parts)
    except ZooError as error:
        report.problems.append(str(error))
        return report
    splits: dict[Part, Split] = {}
    for part, split in parts.items():
        try:
            splits[part] = check_split(item, target, split, dataset.load(split))
        except ZooError as error:
            report.problems.append(str(error))
    read = _reader(need, dataset, splits, store, report)
    for part, loaded in splits.items():
        check_targets = partial(checked_targets, item, target, parts[part])
        seen[part], found = _part(part, parts[part], loaded, class_names(target), report.problems, read, check_targets)
        report.parts.append(found)
    report.notes = store.notes + report.notes
    report.duplicates = _duplicates(seen)
    return report


def _reader(need: Needs, dataset: Dataset, splits: dict[Part, Split], store: Store, report: Report) -> Read:
    """Return the function that reads image files as in a training on this dataset."""
    section, value_range = need.section, None
    try:
        value_range, told = choose_value_range(section, dataset, splits, store.digest, need.item.spec.name)
        report.notes += [told] if told else []
    except ZooError as error:
        report.problems.append(str(error))
    return partial(read_image, channels=3, max_pixels=section.max_pixels, value_range=value_range)


def _official(file: dict[str, Any]) -> bool | None:
    """Return whether a file's content is the official one; None if the file is missing."""
    if not file["present"]:
        return None
    digests = Digests(data_root())
    official = digests.of(Path(file["place"])) == str(file["sha256"])
    digests.save()
    return official


def _part(
    part: str,
    split: str,
    loaded: Split,
    classes: Sequence[str],
    problems: list[str],
    read: Read,
    check_targets: Callable[[Any, int], np.ndarray],
) -> tuple[Images, PartReport]:
    images = loaded.images
    shapes: Sequence[tuple[int, ...]]
    digests: Sequence[bytes | None]
    targets = loaded.targets if isinstance(loaded.targets, np.ndarray) else None
    if isinstance(images, SampleSource):
        shapes, digests, given = _fetch(part, images)
        try:
            targets = None if given is None else check_targets(given, len(images))
        except ZooError as error:
            problems.append(str(error))
    elif isinstance(images, np.ndarray):
        shapes, digests = [images.shape[1:]] * len(images), [_digest(image.shape, image) for image in images]
    else:
        shapes, digests = _decode(part, images, problems, read)
    names = loaded.names if loaded.names is not None else [str(index) for index in range(len(images))]
    counts = _count(targets, classes) if targets is not None and classes else None
    sizes = Counter("×".join(map(str, shape)) for shape in shapes)
    return Images(names, targets, digests), PartReport(
        part, split, len(images), counts, dict(sizes.most_common()), [str(name) for name in names[:EXAMPLES]]
    )


def _fetch(part: str, samples: SampleSource) -> tuple[list[tuple[int, ...]], list[bytes], np.ndarray | None]:
    """Return shapes and digests of the images of a `SampleSource`, and their targets; images are read in batches."""
    shapes: list[tuple[int, ...]] = []
    digests: list[bytes] = []
    targets = []
    starts = range(0, len(samples), FETCHED)
    for start in starts if len(samples) < SAY_FROM else tracked(starts, f"{part}: reading {len(samples):,} images"):
        rows = np.arange(start, min(start + FETCHED, len(samples)))
        for image in samples.images(rows):
            pixels = np.asarray(image)
            shapes.append(pixels.shape)
            digests.append(_digest(pixels.shape, pixels))
        found = samples.targets(rows)
        if found is not None:
            targets.append(np.asarray(found))
    return shapes, digests, np.concatenate(targets) if targets else None


def _decode(
    part: str, paths: Sequence[Path], problems: list[str], read: Read
) -> tuple[list[tuple[int, ...]], list[bytes | None]]:
    """Return shapes and digests of image files. Each is fully decoded, because a valid header does not show that the
    file is complete."""
    shapes: list[tuple[int, ...]] = []
    digests: list[bytes | None] = []
    faulty = []
    with ThreadPoolExecutor() as pool:
        work = [pool.submit(_read, path, read) for path in paths]
        for each in work if len(work) < SAY_FROM else tracked(work, f"{part}: decoding {len(work):,} images"):
            found = each.result()
            if isinstance(found, str):
                faulty.append(found)
                digests.append(None)
            else:
                shapes.append(found[0])
                digests.append(found[1])
    problems.extend(f"{part}: {fault}" for fault in faulty[:EXAMPLES])
    if len(faulty) > EXAMPLES:
        problems.append(f"{part}: {len(faulty) - EXAMPLES:,} more images cannot be read")
    return shapes, digests


def _read(path: Path, read: Read) -> tuple[tuple[int, ...], bytes] | str:
    try:
        pixels = np.asarray(read(path))
    except ValueError as error:
        return f"{path} {error}"
    shape = (pixels.shape[2], *pixels.shape[:2])
    return shape, _digest(shape, pixels)


def _digest(shape: tuple[int, ...], pixels: np.ndarray) -> bytes:
    """Of an image of C×H×W; the same bytes in another shape are another image."""
    return hashlib.blake2b(
        np.ascontiguousarray(pixels).data, digest_size=DIGEST, person="×".join(map(str, shape)).encode()[:16]
    ).digest()


def _count(labels: np.ndarray, classes: Sequence[str]) -> dict[str, int]:
    """Images by class, in the dataset's order; a class without any is counted too."""
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))


def _duplicates(parts: dict[str, Images]) -> Duplicates:
    result = Duplicates()
    first: dict[bytes, tuple[str, int]] = {}
    for part, index, digest in _each(parts):
        if digest not in first:
            first[digest] = (part, index)
            continue
        before, where = first[digest]
        if before == part:
            result.within[part] = result.within.get(part, 0) + 1
        else:
            pair = f"{before}, {part}"
            result.across[pair] = result.across.get(pair, 0) + 1
        mine, theirs = parts[before].targets, parts[part].targets
        if mine is not None and theirs is not None and not np.array_equal(mine[where], theirs[index]):
            result.contradicting += 1
        if len(result.examples) < EXAMPLES:
            result.examples.append([f"{before}/{parts[before].names[where]}", f"{part}/{parts[part].names[index]}"])
    return result


def _each(parts: dict[str, Images]) -> Iterator[tuple[str, int, bytes]]:
    for part, images in parts.items():
        for index, digest in enumerate(images.digests):
            if digest is not None:
                yield part, index, digest
