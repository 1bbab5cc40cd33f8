"""Run directories: paths, creation, locking, records and lookup."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zoo.config.run_config import TEXT_KEYS, RunConfig, check_run_name
from zoo.config.validation_errors import explain
from zoo.errors import CheckpointError, ConfigError, StorageError, UsageError, ZooError, nearest
from zoo.registry.catalogue import LOCAL
from zoo.runs.object_names import without_digest
from zoo.runs.root_json import Root, config_text, differences, new_root, read_root, write_root
from zoo.runs.run_json import Record, Status, bound
from zoo.support.atomic_files import write_text
from zoo.support.checksummed_json import read_sealed, reason, write_sealed
from zoo.support.paths import runs_root
from zoo.support.untrusted_files import RECORD_LIMIT, check_own_file, read_bytes, read_text
from zoo.support.yaml_files import MAX_BYTES, parse_yaml

RECORDS = ("run.json", "root.json")
"""A folder with one of these files is a run; without the other, it is a damaged one."""
RESTORE = "restore it from a copy of the run; see `zoo verify`"


class RunDir:
    """The paths and records of a run; records are verified against ``root.json``.

    Create with `create`, find with `find`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root_file = path / "root.json"
        self.config_file = path / "config.yaml"
        self.record_file = path / "run.json"
        self.metrics_file = path / "metrics.csv"
        self.steps_file = path / "steps.jsonl"
        self.samples_file = path / "samples.jsonl"
        self.predictions_file = path / "predictions.csv"
        self.page_file = path / "report.html"
        self.checkpoints = path / "checkpoints"
        self.plots = path / "plots"
        self.samples = path / "samples"
        self.log_file = path / "log.txt"
        self.error_file = path / "error.log"

    @property
    def root(self) -> Root:
        """The content of root.json. Raises CheckpointError if it is missing or damaged."""
        return read_root(self.root_file)

    @property
    def config(self) -> RunConfig:
        """The configuration. Raises CheckpointError if config.yaml was changed after the run started (comments may be
        added)."""
        root = self.root
        try:
            content = read_bytes(self.config_file, MAX_BYTES)
            if hashlib.sha256(content).hexdigest() != root.config_sha256:
                self._refuse_changes(root, parse_yaml(content.decode(), where=self.config_file, text_keys=TEXT_KEYS))
            return RunConfig.model_validate(root.config)
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            what = error.what if isinstance(error, ConfigError) else reason(error)
            raise CheckpointError(f"config.yaml cannot be read: {what}", where=self.path, fix=RESTORE) from error
        except ValidationError as error:
            what = f"the configuration is of another version of zoo: {'; '.join(explain(error, RunConfig)[:3])}"
            raise CheckpointError(
                what, where=self.config_file, fix="use the zoo that wrote it, or start a new run"
            ) from error

    def _refuse_changes(self, root: Root, found: Any) -> None:
        changed = [
            f"{key or 'the configuration'} is {new!r:.60} and was {old!r:.60}"
            for key, old, new in differences(root.config, found)
        ]
        if changed:
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            what = f"config.yaml was changed after the run started: {'; '.join(changed[:5])}{more}"
            raise CheckpointError(
                what, where=self.path, fix="undo the change, or start a new run with `zoo run --config`"
            )

    @property
    def record(self) -> Record:
        """The content of run.json. Raises UsageError if the folder is not a run, CheckpointError if run.json is
        damaged, was edited, or is from another run."""
        if not os.path.lexists(self.record_file) and not os.path.lexists(self.root_file):
            raise UsageError("this is not a run directory", where=self.path, fix="see `zoo runs`")
        root = self.root
        value, intact = read_sealed(self.record_file)
        if isinstance(value, dict) and "classes" in value and "target" not in value:
            raise CheckpointError(
                "this run was written by a version of zoo with plugin API 1; this zoo cannot read it",
                where=self.path,
                fix="use the zoo that wrote it, or start a new run",
            )
        try:
            record = Record.model_validate(value)
        except ValidationError as error:
            problems = "; ".join(explain(error, Record)[:3])
            raise CheckpointError(f"run.json is damaged: {problems}", where=self.path, fix=RESTORE) from error
        found = bound(record)
        changed = [
            name for name in {**root.record, **found} if root.record and root.record.get(name) != found.get(name)
        ]
        if changed:
            what = f"run.json does not match root.json in: {', '.join(changed)}"
            raise CheckpointError(what, where=self.path, fix=RESTORE)
        if record.checkpoint not in (None, root.chosen):
            what = (
                f"the results in run.json are from checkpoint {record.checkpoint}, but the best in root.json is "
                f"{root.chosen}"
            )
            raise CheckpointError(
                what, where=self.path, fix="restore run.json and root.json from the same copy of the run"
            )
        if not intact:
            what = "run.json was changed after zoo wrote it: its content does not match the sha256 in it"
            raise CheckpointError(what, where=self.path, fix=RESTORE)
        return record

    @property
    def fault(self) -> str | None:
        """Why the run cannot be used, or None. Only the records are checked; `zoo verify` also reads checkpoints."""
        try:
            _ = self.record, self.config
        except ZooError as error:
            return error.what
        return None

    @property
    def standing(self) -> str:
        """The status in run.json; ``killed`` if that is ``running`` and no process holds the lock."""
        status = self.record.status
        if status != "running":
            return status
        try:
            with self.lock():
                return "killed"
        except (ZooError, OSError):
            return "running"

    def epochs(self) -> list[dict[str, float]]:
        """Return the complete rows of metrics.csv; a crash may have left an incomplete last row."""
        lines = self._lines(self.metrics_file)
        return _whole({name: float(cell) for name, cell in row.items()} for row in csv.DictReader(lines))

    def steps(self) -> list[dict[str, float]]:
        """Return the complete lines of steps.jsonl; a crash may have left an incomplete last line."""
        return _whole(
            {name: float(value) for name, value in json.loads(line).items()} for line in self._lines(self.steps_file)
        )

    def _lines(self, log: Path) -> list[str]:
        """Return the lines of a log; none if it does not exist. Raises UsageError if it cannot be read."""
        try:
            return read_text(log).splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(
                f"{log.name} of this run cannot be read: {reason(error)}",
                where=self.path,
                fix="restore or remove the file",
            ) from error

    def write_root(self, root: Root) -> None:
        write_root(self.root_file, root)

    def write_record(self, record: Record) -> None:
        write_sealed(self.record_file, record.model_dump(mode="json"))

    def bind(self, record: Record) -> None:
        """Write the first record of a run; its `BOUND` fields cannot change afterwards.

        root.json is written first, so that a run.json never exists without it.
        """
        self.write_root(self.root.with_changes(record=bound(record)))
        self.write_record(record)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run for this process. The operating system releases the lock when the process ends."""
        from filelock import FileLock, Timeout

        holder = self.path / ".lock.pid"
        check_own_file(self.path / ".lock")
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            try:
                pid = read_text(holder, 100).strip()
            except OSError:
                pid = "unknown"
            raise StorageError(
                f"another process is using this run directory (process {pid})",
                where=self.path,
                fix="wait until it ends, or choose another --name",
            ) from error
        except OSError as error:  # the lock file is a link, for example
            raise StorageError(
                f"the run cannot be locked: {error.strerror or error}",
                where=self.path / ".lock",
                fix="remove the file, or choose another folder",
            ) from error
        try:
            write_text(holder, f"{os.getpid()}\n")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def _whole(rows: Iterable[dict[str, float]]) -> list[dict[str, float]]:
    found: list[dict[str, float]] = []
    with suppress(ValueError, TypeError, AttributeError, RecursionError, csv.Error):
        found.extend(rows)
    return found


def label_of(config: RunConfig) -> str:
    """Return the parent folder of runs of this configuration: the short name of the recipe, otherwise of the
    architecture (of a Python object without its digest), otherwise of the task."""
    name = config.recipe or (config.architecture.name if config.architecture else config.task.name)
    namespace, _, short = name.rpartition("/")
    return without_digest(short) if namespace == LOCAL else short


def new_path(config: RunConfig, out: Path | None = None) -> Path:
    """Return the path of a new run directory.

    Raises UsageError if the directory exists and is not empty, or a file is there.
    """
    name = config.name or f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-{secrets.token_hex(2)}"
    path = out if out is not None else runs_root() / label_of(config) / name
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise UsageError(
            "a parent of the run directory is a file" if existing != path else "the run directory is a file",
            where=existing,
            fix="choose another --out" if out is not None else "choose another --name or --out",
        )
    if path.exists() and any(path.iterdir()):
        raise UsageError(
            "the run directory exists and is not empty",
            where=path,
            fix="choose another --name or --out, or --resume it",
        )
    return path


def create(config: RunConfig, out: Path | None = None) -> RunDir:
    """Create a run directory with root.json and config.yaml, and check that it is writable.

    Raises StorageError, or UsageError as `new_path` does.
    """
    path = new_path(config, out)
    try:
        for folder in (path, path / "checkpoints", path / "plots"):
            folder.mkdir(parents=True, exist_ok=True)
        write_text(path / "log.txt", "")
    except OSError as error:
        raise StorageError(
            f"the run directory cannot be written: {error.strerror}",
            where=path,
            fix="choose another --out, or set ZOO_RUNS",
        ) from error
    run = RunDir(path)
    run.write_root(new_root(config))
    write_text(run.config_file, config_text(config))
    return run


def run_id(path: Path) -> str:
    """Return ``label/name`` for a run under the runs folder, otherwise the path."""
    try:
        return path.absolute().relative_to(runs_root().absolute()).as_posix()
    except ValueError:
        return str(path)


def all_runs() -> list[RunDir]:
    """Return every run under ``ZOO_RUNS``, newest first; runs with an unreadable run.json come last."""
    folders = sorted({file.parent for name in RECORDS for file in runs_root().glob(f"*/*/{name}")})
    found = [(created(folder / "run.json"), RunDir(folder)) for folder in folders]
    return [run for _, run in sorted(found, key=lambda pair: pair[0], reverse=True)]


def usable_runs() -> Iterator[tuple[RunDir, Record]]:
    """Yield those of `all_runs` whose records are undamaged, with their record."""
    for run in all_runs():
        if run.fault is None:
            yield run, run.record


def created(record_file: Path) -> str:
    """Return the time of creation (ISO 8601, UTC), or an empty string if the record cannot be read."""
    try:
        value = json.loads(read_text(record_file, RECORD_LIMIT))["created"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


def find(name: str | Path) -> RunDir:
    """Return a run by its path, its ``label/name``, its name, or its label (the newest run of that label).

    Raises UsageError if there is none.
    """
    path = Path(name)
    for candidate in (path, runs_root() / path):
        if any(os.path.lexists(candidate / file) for file in RECORDS):
            return RunDir(candidate)
    runs = all_runs()
    for run in runs:
        if str(name) in (run.path.name, run.path.parent.name):
            return run
    known = [run_id(run.path) for run in runs]
    near = nearest(str(name), [*known, *(run.path.name for run in runs)])
    raise UsageError(
        f"no run is called '{name}'",
        where=runs_root(),
        fix=f"did you mean {' or '.join(near)}?" if near else "see `zoo runs`",
    )


def find_finished(name: str | Path) -> RunDir:
    """As `find`, but a label stands for its newest finished run. Raises CheckpointError if none of them is finished."""
    run = find(name)
    if str(name) == run.path.name or str(name) != run.path.parent.name:
        return run
    for each, record in usable_runs():
        if each.path.parent.name == str(name) and record.status == "finished":
            return each
    raise CheckpointError(
        f"no run of '{name}' is finished",
        where=run.path.parent,
        fix=f"zoo run --resume {run_id(run.path)}, or name a run that has a checkpoint",
    )


def is_run(name: str | Path) -> bool:
    try:
        find(name)
    except UsageError:
        return False
    return True


__all__ = [
    "Record",
    "RunDir",
    "Status",
    "all_runs",
    "check_run_name",
    "create",
    "find",
    "is_run",
    "label_of",
    "new_path",
    "run_id",
    "usable_runs",
]
