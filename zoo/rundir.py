"""A run directory: where each thing of a run is, how it is created, locked, recorded and found again."""

from __future__ import annotations

import csv
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from zoo.api import Exhibit
from zoo.config import RunConfig, check_run_name
from zoo.errors import StorageError, UsageError, ZooError, nearest
from zoo.files import write_json, write_text
from zoo.paths import runs_root
from zoo.preprocessing import Preprocessing
from zoo.safe_files import RECORD_LIMIT, check_own_file, read_text
from zoo.yamlfile import read_yaml, write_yaml

Status = Literal["running", "finished", "interrupted", "failed"]


class Record(BaseModel):
    """``run.json``: what is needed to trust a run, and to rebuild its model with no data and no network."""

    model_config = ConfigDict(extra="forbid")

    id: str
    status: Status
    created: str
    ended: str | None = None
    seconds: float | None = None
    label: str
    architecture: str | None
    dataset: str
    task: str
    classes: list[str]
    preprocessing: Preprocessing
    structure: dict[str, Any] = {}
    parameters: int | None = None
    trainable: int | None = None
    macs: int | None = None
    samples: dict[str, int] = {}
    fingerprint: str
    notes: list[str] = []
    device: dict[str, Any] = {}
    versions: dict[str, str] = {}
    plugins: dict[str, str] = {}
    git_commit: str | None = None
    results: dict[str, dict[str, float]] = {}
    """Metrics by part."""
    checkpoint: str | None = None
    """The checkpoint that the results are of."""
    exhibits: list[Exhibit] = []
    """What its page shows, in this order."""


class RunDir:
    """The paths of one run. Create with `create`, find with `find`."""

    def __init__(self, path: Path) -> None:
        self.path = path
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
    def config(self) -> RunConfig:
        return RunConfig.model_validate(read_yaml(self.config_file))

    @property
    def record(self) -> Record:
        try:
            return Record.model_validate_json(read_text(self.record_file, RECORD_LIMIT))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise UsageError("this is no run directory, or its run.json is damaged", where=self.path, fix="see `zoo runs`") from error

    @property
    def standing(self) -> str:
        """The record's status; a run that says it is running, with nobody holding its lock, was killed."""
        status = self.record.status
        if status != "running":
            return status
        try:
            with self.lock():
                return "killed"
        except (ZooError, OSError):
            return "running"

    def epochs(self) -> list[dict[str, float]]:
        """The rows of metrics.csv so far, up to one that a crash cut off."""
        lines = self._lines(self.metrics_file)
        return _whole({name: float(cell) for name, cell in row.items()} for row in csv.DictReader(lines))

    def steps(self) -> list[dict[str, float]]:
        """The lines of steps.jsonl so far, up to one that a crash cut off."""
        return _whole(json.loads(line) for line in self._lines(self.steps_file))

    def _lines(self, log: Path) -> list[str]:
        """None where there is no such file. Raises UsageError where it cannot be read."""
        try:
            return read_text(log).splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{log.name} of this run cannot be read: {error}", where=self.path, fix="restore or remove the file") from error

    def write_config(self, config: RunConfig) -> None:
        write_text(self.config_file, write_yaml(config.as_dict()))

    def write_record(self, record: Record) -> None:
        write_json(self.record_file, record.model_dump(mode="json"))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process; the operating system frees it however the process ends."""
        from filelock import FileLock, Timeout

        holder = self.path / ".lock.pid"
        check_own_file(self.path / ".lock")
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            try:
                pid = read_text(holder, 100).strip()
            except (OSError, UnicodeDecodeError):
                pid = "unknown"
            raise StorageError(
                f"another run is using this directory (process {pid})", where=self.path, fix="wait for it, or choose --name"
            ) from error
        except OSError as error:  # a link stands there, for one
            raise StorageError(
                f"the run cannot be locked: {error.strerror or error}", where=self.path / ".lock", fix="remove the file, or choose another folder"
            ) from error
        try:
            write_text(holder, f"{os.getpid()}\n")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def _whole(rows: Iterator[dict[str, float]]) -> list[dict[str, float]]:
    found: list[dict[str, float]] = []
    with suppress(ValueError, TypeError):
        found.extend(rows)
    return found


def label_of(config: RunConfig) -> str:
    """The folder that runs of this configuration share: the recipe's bare name or, without one, the architecture's or the task's."""
    name = config.recipe or (config.architecture.name if config.architecture else config.task.name)
    return name.rpartition("/")[2]


def create(config: RunConfig, out: Path | None = None) -> RunDir:
    """Make a new run directory, known to be writable. Raises StorageError, or UsageError where the place is taken."""
    name = config.name or f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-{secrets.token_hex(2)}"
    path = out if out is not None else runs_root() / label_of(config) / name
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise UsageError(
            "the run directory would be inside a file" if existing != path else "the run directory is a file",
            where=existing,
            fix="choose another --out",
        )
    if path.exists() and any(path.iterdir()):
        raise UsageError("the run directory exists and is not empty", where=path, fix="choose another --name or --out, or --resume it")
    try:
        for folder in (path, path / "checkpoints", path / "plots"):
            folder.mkdir(parents=True, exist_ok=True)
        write_text(path / "log.txt", "")
    except OSError as error:
        raise StorageError(
            f"the run directory cannot be written: {error.strerror}", where=path, fix="choose another --out, or set ZOO_RUNS"
        ) from error
    return RunDir(path)


def run_id(path: Path) -> str:
    """``label/name`` under the runs folder, else the path itself."""
    try:
        return path.absolute().relative_to(runs_root().absolute()).as_posix()
    except ValueError:
        return str(path)


def all_runs() -> list[RunDir]:
    """Every run under ``ZOO_RUNS``, newest first."""
    found = [(json_created(file), RunDir(file.parent)) for file in runs_root().glob("*/*/run.json")]
    return [run for created, run in sorted(found, key=lambda pair: pair[0], reverse=True) if created]


def json_created(record_file: Path) -> str:
    """When a run was created (ISO 8601, UTC), or an empty string where its record cannot be read."""
    try:
        return str(json.loads(read_text(record_file, RECORD_LIMIT))["created"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def find(name: str | Path) -> RunDir:
    """A run by its path, its ``label/name``, its name alone, or a label (the newest run of it)."""
    path = Path(name)
    for candidate in (path, runs_root() / path):
        if (candidate / "run.json").is_file():
            return RunDir(candidate)
    runs = all_runs()
    for run in runs:
        if str(name) in (run.path.name, run.path.parent.name):
            return run
    known = [run_id(run.path) for run in runs]
    near = nearest(str(name), [*known, *(run.path.name for run in runs)])
    raise UsageError(f"no run is called '{name}'", where=runs_root(), fix=f"did you mean {' or '.join(near)}?" if near else "see `zoo runs`")


def is_run(name: str | Path) -> bool:
    try:
        find(name)
    except UsageError:
        return False
    return True


__all__ = ["Record", "RunDir", "Status", "all_runs", "check_run_name", "create", "find", "is_run", "label_of", "run_id"]
