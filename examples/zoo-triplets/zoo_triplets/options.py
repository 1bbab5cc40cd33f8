"""The options of the task, set with `--set task.margin=0.5`."""

from __future__ import annotations

from pydantic import Field

from zoo.api import Options


class TripletsOptions(Options):
    dimensions: int = Field(32, ge=1, description="length of the vector of an image")
    margin: float = Field(0.3, gt=0, le=2, description="distance by which other classes are to be farther away")
