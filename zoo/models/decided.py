"""Apply a decision to a network's outputs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo import runtime
from zoo.api import Decision


def decide(output: Tensor | np.ndarray, decision: Decision) -> np.ndarray:
    """Apply ``decision`` to the main output (N, …), on any device.

    Returns probabilities of classes or labels, float64 (N, K); values in their units, float64 (N, K); the class of each
    pixel, uint8 (N, H, W); L2-normalised vectors, float64 (N, D); or the output itself.
    """
    outputs = output.detach().float().cpu().numpy() if isinstance(output, Tensor) else output
    return np.asarray(runtime.decide(outputs, decision.model_dump(mode="json")))


def predictions(output: Tensor, decision: Decision) -> Tensor:
    """Like `decide`, for metrics: float32, or int64 for classes, on the CPU."""
    decided = torch.from_numpy(decide(output, decision))
    return decided.float() if decided.is_floating_point() else decided.long()
