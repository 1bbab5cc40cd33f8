"""The duration of a run in seconds, including its parts before it was resumed."""

from __future__ import annotations

import time


class Clock:
    """A clock that starts at ``before``, the seconds of a run's earlier parts."""

    def __init__(self, before: float = 0.0) -> None:
        self._before, self._started = before, time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def go_on_from(self, before: float) -> None:
        """Set the earlier seconds from a checkpoint, which may be newer than run.json after the run was killed."""
        self._before = max(self._before, before)
