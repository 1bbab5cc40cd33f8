"""Predict many files: other threads decode the next ones while the model runs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from zoo.runtime.batches import BATCH, run_filled
from zoo.runtime.decisions import decide, decision_of, resize_mask
from zoo.runtime.preprocessing import read_whole, to_chw, to_input
from zoo.runtime.resizing import SQUASH, fit, fit_whole
from zoo.runtime.windows import window_mask

CHUNK = 8
"""The most images that one call in a thread decodes."""
THREADS = 8
"""The most threads that decode images: each may hold one of ``max_pixels``."""


def predict(
    run: Callable[[np.ndarray], np.ndarray],
    description: dict[str, Any],
    files: Sequence[Path],
    failures: list[tuple[Path, str]] | None = None,
) -> Iterator[tuple[Path, np.ndarray]]:
    """Each file with its values by `decide`, in order; ``run`` gives the outputs of the described model.

    The masks of a decision pixel_argmax have the size of the network's input. Where the decision's size is "image" and
    images are squashed, they have the size of the upright image, each pixel the class of the nearest one; with any
    other way to resize, a part of the image may lie outside of the input, and they keep the input's size.

    A file that cannot be read is added to ``failures`` with the reason, and left out; without ``failures``, raises
    ValueError naming it.
    """
    for batch in predict_batches(run, description, split_files(files, description)):
        for file, error in batch.failures:
            if failures is None:
                raise ValueError(f"{file}: {error}") from error
            failures.append((file, str(error)))
        yield from batch.rows


class Batch(NamedTuple):
    """Files that were predicted together: the values of each (see `predict`), and why the others cannot be read."""

    rows: list[tuple[Path, np.ndarray]]
    failures: list[tuple[Path, ValueError]]


def split_files(files: Sequence[Path], description: dict[str, Any]) -> list[Sequence[Path]]:
    """Files in the groups that are predicted together."""
    size = description["input"].get("batch") or BATCH
    return [files[start : start + size] for start in range(0, len(files), size)]


def predict_batches(
    run: Callable[[np.ndarray], np.ndarray],
    description: dict[str, Any],
    groups: Sequence[Sequence[Path]],
    threads: int | None = None,
) -> Generator[Batch, None, None]:
    """The predictions of each group of files (see `split_files`), in order.

    ``run`` is called in the calling thread while other threads (by default one for each core, at most `THREADS`)
    decode the next files, about one group ahead for each four threads; no more images are held.
    """
    if description.get("window") is not None:
        for files in groups:
            yield _predict_windows(run, description, files)
        return
    threads = threads or min(_cores(), THREADS)
    most = max(map(len, groups), default=0)
    size = max(1, min(CHUNK, -(-most // (2 * threads)))) if len(groups) == 1 else CHUNK
    ahead = 1 + -(-threads // max(1, most // size))
    due: deque[tuple[Sequence[Path], list[Future[Chunk]]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for number in range(len(groups) + ahead):
            if number < len(groups):
                files = groups[number]
                chunks = [files[start : start + size] for start in range(0, len(files), size)]
                due.append((files, [pool.submit(prepare_chunk, chunk, description["input"]) for chunk in chunks]))
            if number >= ahead and due:
                files, futures = due.popleft()
                yield _predict_group(run, description, files, [future.result() for future in futures])
    finally:
        for _, futures in due:
            for future in futures:
                future.cancel()
        pool.shutdown()


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Chunk(NamedTuple):
    """The inputs for the files that can be read, float32 (N, C, H, W), and the size of each image, or its error."""

    inputs: np.ndarray | None
    found: list[tuple[int, int] | ValueError]


def prepare_chunk(files: Sequence[Path], spec: dict[str, Any]) -> Chunk:
    images: list[Image.Image] = []
    found: list[tuple[int, int] | ValueError] = []
    for file in files:
        try:
            image = read_whole(file, spec)
            images.append(fit(image, spec))
            found.append(image.size)
        except ValueError as error:
            found.append(error)
    return Chunk(to_input(images, spec) if images else None, found)


def _predict_group(
    run: Callable[[np.ndarray], np.ndarray], description: dict[str, Any], files: Sequence[Path], chunks: list[Chunk]
) -> Batch:
    spec, decision = description["input"], decision_of(description)
    found = [each for chunk in chunks for each in chunk.found]
    failures = [(file, each) for file, each in zip(files, found) if isinstance(each, ValueError)]  # noqa: B905
    sizes = [(file, each) for file, each in zip(files, found) if isinstance(each, tuple)]  # noqa: B905
    inputs = [chunk.inputs for chunk in chunks if chunk.inputs is not None]
    if not inputs:
        return Batch([], failures)
    values = decide(run_filled(run, np.concatenate(inputs), spec), decision)
    whole = decision["kind"] == "pixel_argmax" and decision["size"] == "image" and spec["resize"] == SQUASH
    rows = [(file, resize_mask(values[i], own) if whole else values[i]) for i, (file, own) in enumerate(sizes)]
    return Batch(rows, failures)


def _predict_windows(
    run: Callable[[np.ndarray], np.ndarray], description: dict[str, Any], files: Sequence[Path]
) -> Batch:
    """Masks of the size of the images, by windows over all of each image; ``description["window"]`` is their overlap,
    as a share of the window."""
    spec, found = description["input"], Batch([], [])
    for file in files:
        try:
            image = read_whole(file, spec)
            whole = fit_whole(image, spec)
        except ValueError as error:
            found.failures.append((file, error))
            continue
        mask = window_mask(run, to_chw(whole), description)
        found.rows.append((file, resize_mask(mask, image.size)))
    return found
