"""The losses of the last steps, stored on the device until they are read together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CAPACITY = 1000
"""The maximum number of losses that are not read yet."""


class StepLosses:
    """Stores the loss of each step on the device. Reading them waits for the device once, not in every step."""

    def __init__(self, device: torch.device, every: int) -> None:
        """``every`` is the number of steps between two readings."""
        self._kept = torch.zeros(min(every, CAPACITY), dtype=torch.float64, device=device)
        self._count = 0

    @property
    def full(self) -> bool:
        return self._count == len(self._kept)

    def add(self, loss: Tensor) -> None:
        self._kept[self._count].copy_(loss)
        self._count += 1

    def read(self) -> list[float]:
        """Return the losses since the last reading, oldest first."""
        found: list[float] = self._kept[: self._count].tolist()
        self._count = 0
        return found


def first_not_finite(losses: list[float]) -> int | None:
    """Return the position of the first loss that is not finite, or None."""
    return next((place for place, loss in enumerate(losses) if not math.isfinite(loss)), None)
