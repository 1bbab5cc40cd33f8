"""`zoo predict` on any number of images: what was asked for is written and printed batch by batch, and can be
continued."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import runtime
from zoo.errors import Interrupted
from zoo.support.atomic_files import storage_errors
from zoo.support.formatting import plural
from zoo.support.progress import announce, tracked
from zoo.workflows.open_predictor import Predictor
from zoo.workflows.predict import Predictions, batches_of, find_images, predictions_of, require_masks
from zoo.workflows.predict_dataset import Samples
from zoo.workflows.prediction_lines import Lines, csv_of_files, csv_of_samples, json_lines
from zoo.workflows.unfinished_table import UnfinishedTable

SHOWN_FROM = 500
"""The number of images from which progress is shown."""


@dataclass(frozen=True)
class Wanted:
    """What to write: tables, masks. ``dataset`` names the dataset and split of the samples, ``top`` is the number of
    classes in JSON Lines. ``keep`` is the number of first predictions to return, for a drawing."""

    csv: Path | None = None
    jsonl: Path | None = None
    masks: Path | None = None
    resume: bool = False
    dataset: str | None = None
    top: int = 3
    keep: int = 0
    progress: bool = True


@dataclass
class Result:
    """``first`` has the first predictions, as many as were to be kept, and all failures; ``predicted`` counts the
    predictions, ``resumed`` the images in batches that an earlier command had done, and ``finished`` all that are done
    of ``total`` images."""

    first: Predictions
    total: int
    predicted: int = 0
    resumed: int = 0
    finished: int = 0


@dataclass(frozen=True)
class Table:
    """A table in the making."""

    unfinished: UnfinishedTable
    lines: Lines

    def add(self, key: str, found: Predictions, failed: Sequence[int]) -> None:
        values = found.rows[0][1].size if found.rows else 0
        self.unfinished.add(key, self.lines.rows(found), values, failed)

    def failed(self, key: str) -> tuple[int, ...] | None:
        """Which images of a batch could not be read; None if the batch is not done."""
        block = self.unfinished.blocks.get(key)
        return None if block is None else block.failed


def predict_files(
    predictor: Predictor, samples: Samples, wanted: Wanted, each: Callable[[Predictions], None]
) -> Result:
    """Predict files, and call ``each`` with the predictions of each batch.

    The rows of a table are in FILE.partial until all are done. Raises UsageError for what cannot be written or
    continued, and Interrupted, which names the unfinished tables, for Ctrl-C.
    """
    found = find_images(samples.files)
    groups = runtime.split_files(found.files, predictor.description)
    result = Result(predictions_of(predictor, notes=(found.skipped,) if found.skipped else ()), len(found.files))
    masks = None if wanted.masks is None else _mask_folder(wanted.masks, predictor)
    with _tables(predictor, samples, wanted) as tables, _naming_unfinished(tables, result):
        keys = [_key(group, samples) if tables else "" for group in groups]
        earlier = [_failures(group, key, tables, predictor) for group, key in zip(groups, keys, strict=True)]
        result.resumed = sum(len(group) for group, done in zip(groups, earlier, strict=True) if done is not None)
        if result.resumed:
            announce(f"resuming: {result.resumed:,} of {plural(len(found.files), 'image')} are done")
        due = [group for group, done in zip(groups, earlier, strict=True) if done is None]
        with closing(batches_of(predictor, due)) as batches, _progress(groups, wanted) as work:
            for group, key, done in zip(work, keys, earlier, strict=True):
                if done is not None:
                    _skip(group, done, result, masks)
                    continue
                batch = next(batches)
                _write(batch, group, key, tables, masks)
                _count(batch, result, wanted.keep)
                each(batch)
        for table in tables:
            table.unfinished.publish(keys, table.lines.header)
    return result


def _write(
    batch: Predictions, group: Sequence[Path], key: str, tables: Sequence[Table], masks: runtime.MaskFolder | None
) -> None:
    """Write the masks first: a batch in a table has all of its masks."""
    if masks is not None:
        with storage_errors(masks.folder):
            for path, mask in batch.rows:
                masks.write(path, mask)
    bad = {file for file, _ in batch.failures}
    for table in tables:
        table.add(key, batch, [index for index, file in enumerate(group) if file in bad])


def _count(batch: Predictions, result: Result, keep: int) -> None:
    result.predicted += len(batch.rows)
    result.finished += len(batch.rows) + len(batch.failures)
    result.first.rows.extend(batch.rows[: max(0, keep - len(result.first.rows))])
    result.first.failures.extend(batch.failures)


def _skip(
    group: Sequence[Path], failures: list[tuple[Path, str]], result: Result, masks: runtime.MaskFolder | None
) -> None:
    """A batch that is done; its masks keep their names."""
    result.first.failures.extend(failures)
    bad = {file for file, _ in failures}
    for file in group:
        if masks is not None and file not in bad:
            masks.name(file)


def _failures(
    group: Sequence[Path], key: str, tables: Sequence[Table], predictor: Predictor
) -> list[tuple[Path, str]] | None:
    """Return the images of a finished batch that still cannot be read; None if the batch must be predicted."""
    found = {table.failed(key) for table in tables} or {None}
    failed = next(iter(found))
    if len(found) > 1 or failed is None:
        return None
    failures = []
    for file in (group[index] for index in failed if index < len(group)):
        try:
            runtime.read(file, predictor.spec)
        except ValueError as error:
            failures.append((file, str(error)))
    return failures if len(failures) == len(failed) else None


def _key(group: Sequence[Path], samples: Samples) -> str:
    """A digest of the names of files, and of the sizes and times of those that are not copies."""
    digest = hashlib.sha256()
    for file in group:
        facts = samples.name(file)
        with suppress(OSError):
            status = file.stat() if samples.kept else None
            facts += "" if status is None else f"\0{status.st_size}\0{status.st_mtime_ns}"
        digest.update(f"{facts}\0\0".encode(errors="surrogatepass"))
    return digest.hexdigest()[:32]


@contextmanager
def _tables(predictor: Predictor, samples: Samples, wanted: Wanted) -> Iterator[list[Table]]:
    """Open the tables that are wanted, and close them at the end."""
    with ExitStack() as stack:
        tables: list[Table] = []
        of_dataset = samples if wanted.dataset is not None else None
        for name, file in (("CSV", wanted.csv), ("JSON Lines", wanted.jsonl)):
            if file is None:
                continue
            top = wanted.top if name == "JSON Lines" else None
            unfinished = UnfinishedTable(file, _facts(predictor, wanted, name, top), resume=wanted.resume)
            stack.callback(unfinished.close)
            if name == "JSON Lines":
                lines = json_lines(of_dataset, wanted.top)
            elif of_dataset is None:
                lines = csv_of_files(predictor.decision)
            else:
                lines = csv_of_samples(predictor.decision, of_dataset)
            tables.append(Table(unfinished, lines))
        yield tables


def _facts(predictor: Predictor, wanted: Wanted, table: str, top: int | None) -> dict[str, Any]:
    """What the rows of a table and the masks depend on, besides the images."""
    spec = {**predictor.spec, "max_pixels": None}
    return {
        "table": table,
        "model": predictor._replace(description={**predictor.description, "input": spec}).identity(),
        "engine": predictor.engine,
        "--max-pixels": predictor.spec.get("max_pixels"),
        "--data": wanted.dataset,
        "--top": top,
        "--masks": None if wanted.masks is None else str(wanted.masks.absolute()),
    }


def _mask_folder(folder: Path, predictor: Predictor) -> runtime.MaskFolder:
    require_masks(predictor.decision)
    with storage_errors(folder):
        return runtime.MaskFolder(folder, predictor.decision)


@contextmanager
def _naming_unfinished(tables: Sequence[Table], result: Result) -> Iterator[None]:
    """If the work is stopped by an error or by Ctrl-C, say which files have the rows so far, and how to go on."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        files = ", ".join(str(table.unfinished.path) for table in tables if table.unfinished.blocks)
        if not files:
            raise
        done = result.finished + result.resumed
        state = f"{files} has the rows of {done:,} of {plural(result.total, 'image')}"
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(
                f"stopped by Ctrl-C; {state}",
                signum=signal.SIGINT,
                fix="to continue, repeat the command with --resume",
            ) from error
        announce(f"note: {state}; to continue, repeat the command with --resume")
        raise


@contextmanager
def _progress(groups: Sequence[Sequence[Path]], wanted: Wanted) -> Iterator[Iterable[Sequence[Path]]]:
    images = sum(map(len, groups))
    if not wanted.progress or images < SHOWN_FROM:
        yield groups
        return
    work = tracked(groups, f"predicting {images:,} images")
    try:
        yield work
    finally:
        if isinstance(work, Generator):
            work.close()
