"""Trackio: a run in the project ``zoo`` of a local database."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stdout

import trackio
from trackio.sqlite_storage import SQLiteStorage

from zoo_trackers.tracker import PROJECT, TrackedRun


class Trackio:
    """A tracked run is called by the id of the run and the first digits of its key. It is stored where TRACKIO_DIR
    says, by default in the cache of Hugging Face."""

    def __init__(self, run: TrackedRun) -> None:
        self._project = os.environ.get("TRACKIO_PROJECT") or PROJECT
        self._name = f"{run.name} {run.key[:6]}"
        self._step = 0
        with redirect_stdout(io.StringIO()):  # a page of instructions
            self._run = trackio.init(
                self._project,
                self._name,
                config=dict(run.settings) or self._stored(),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        self.where = f"trackio show --project {self._project}"

    def _stored(self) -> dict[str, object]:
        """Return the configuration that was stored before; a new one would replace it."""
        stored = SQLiteStorage.get_run_config(self._project, self._name) or {}
        return {key: value for key, value in stored.items() if not key.startswith("_")}

    def last_step(self, metric: str) -> int:
        rows = SQLiteStorage.get_logs(self._project, self._name)
        return max((int(row["step"]) for row in rows if metric in row), default=-1)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._step = max(self._step, step)
        self._run.log(dict(values), step=step)

    def refer(self, name: str, target: str) -> None:
        self._run.log({name: target}, step=self._step)

    def close(self, status: str) -> None:
        self._run.log({"status": status}, step=self._step)
        with redirect_stdout(io.StringIO()):
            self._run.finish()
