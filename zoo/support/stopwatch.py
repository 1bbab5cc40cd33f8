"""The seconds that a run takes, over all the pieces it is done in."""

from __future__ import annotations

import time


class Clock:
    """Goes on from the seconds ``before``, those of a run's earlier pieces."""

    def __init__(self, before: float = 0.0) -> None:
        self._before, self._started = before, time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def go_on_from(self, before: float) -> None:
        """A checkpoint knows of more seconds than what was recorded when the run was killed."""
        self._before = max(self._before, before)
