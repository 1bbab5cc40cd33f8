"""MLflow: a run in the experiment ``zoo``, by the tracking client."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from zoo_trackers.tracker import PROJECT, TrackedRun

KEY = "zoo.key"
STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
LONGEST = 500
"""Characters of a parameter that every version of MLflow accepts."""


class MLflow:
    """A tracked run has the tag ``zoo.key``, by which a resumed run finds it.

    Runs are stored where MLFLOW_TRACKING_URI says, by default in ``mlflow.db`` in the working directory, MLflow's own
    default.
    """

    def __init__(self, run: TrackedRun) -> None:
        address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path('mlflow.db').absolute()}"
        self._client = MlflowClient(tracking_uri=address)
        self._run = self._found(run)
        self.where = f"mlflow ui --backend-store-uri {address}"

    def _found(self, run: TrackedRun) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        experiment = self._client.get_experiment_by_name(name)
        number: str = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        known = self._client.search_runs([number], f"tags.`{KEY}` = '{run.key}'") if run.resumed else ()
        if known:
            found: str = known[0].info.run_id
            self._client.update_run(found, status="RUNNING")
            return found
        created = self._client.create_run(number, run_name=run.name, tags={KEY: run.key})
        params = [Param(key, str(value)[:LONGEST]) for key, value in run.settings.items()]
        for start in range(0, len(params), 100):  # the most that a server takes at once
            self._client.log_batch(created.info.run_id, params=params[start : start + 100])
        return str(created.info.run_id)

    def last_step(self, metric: str) -> int:
        history = self._client.get_metric_history(self._run, metric)
        return max((each.step for each in history), default=-1)

    def log(self, values: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(self._run, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def refer(self, name: str, target: str) -> None:
        self._client.set_tag(self._run, f"zoo.{name}", target)

    def close(self, status: str) -> None:
        self._client.set_terminated(self._run, STATUS.get(status, "FAILED"))
