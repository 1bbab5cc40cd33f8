"""What a decision makes of a network's outputs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo import runtime
from zoo.api import Decision


def decide(output: Tensor | np.ndarray, decision: Decision) -> np.ndarray:
    """The values that answers are made of, a row for each row of the main output, on any device: probabilities of
    classes or labels, float64 (N, K); numbers in their units, float64 (N, K); the class of each pixel, uint8 (N, H, W);
    vectors of length 1, float64 (N, D); or the output itself."""
    outputs = output.detach().float().cpu().numpy() if isinstance(output, Tensor) else output
    return np.asarray(runtime.decide(outputs, decision.model_dump(mode="json")))


def predictions(output: Tensor, decision: Decision) -> Tensor:
    """As `decide`, for metrics: float32, and int64 where it is classes; on the CPU."""
    decided = torch.from_numpy(decide(output, decision))
    return decided.float() if decided.is_floating_point() else decided.long()
