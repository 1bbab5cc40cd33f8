"""The options of the task, set with `--set task.coverage=0.8`."""

from __future__ import annotations

from pydantic import Field

from zoo.api import Options


class IntervalsOptions(Options):
    coverage: float = Field(0.9, gt=0, lt=1, description="fraction of the true values that the intervals contain")
