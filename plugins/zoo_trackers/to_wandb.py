"""Weights & Biases: offline unless WANDB_MODE says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when wandb is imported: nothing is sent about errors

import wandb

from zoo_trackers.tracker import PROJECT, TrackedRun


class WeightsAndBiases:
    """A tracked run has the id `TrackedRun.key`. Offline, a resumed run is written to a second folder with the same id,
    and ``wandb sync`` joins both. The files are where WANDB_DIR says, by default in ``./wandb``, the client's own
    default: not in the run directory, because it makes links, which a run directory must not have."""

    def __init__(self, run: TrackedRun) -> None:
        mode: Any = os.environ.get("WANDB_MODE") or "offline"  # the client checks it
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=run.key,
            name=run.name,
            config=dict(run.settings) or None,
            mode=mode,
            resume="allow" if mode == "online" and run.resumed else None,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True
            ),
        )
        folder = Path(self._run.dir).parent
        self.where = f"wandb sync {folder}" if mode == "offline" else str(self._run.url or folder)

    def last_step(self, metric: str) -> int:
        """Offline, the client knows nothing of what was written before; W&B drops repeated steps."""
        return -1

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def refer(self, name: str, target: str) -> None:
        self._run.summary[name] = target

    def close(self, status: str) -> None:
        self._run.summary["status"] = status
        self._run.finish(exit_code=0 if status == "finished" else 1)
