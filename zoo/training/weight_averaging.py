"""An exponential moving average of a network's weights, which is often better than the weights themselves (Polyak and
Juditsky 1992)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class MovingAverage:
    """average ← d · average + (1 - d) · weights after every update, with d = min(decay, (1 + n) / (10 + n)) at the
    n-th.

    Batch-norm statistics are averaged alike; integers (their counts) are copied. ``model`` is the averaged network, in
    eval mode.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    def next_weight(self) -> float:
        """Count an update, and return the weight 1 - d of the network in it."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        return 1 - decay

    @torch.no_grad()
    def update(self, model: nn.Module, weight: float | Tensor) -> None:
        """Average with ``weight``, a number or a tensor () on the device."""
        pairs = [
            (mine, theirs)
            for mine, theirs in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True)
        ]
        floats = [(mine, theirs.detach()) for mine, theirs in pairs if mine.is_floating_point()]
        averages, values = [mine for mine, _ in floats], [theirs for _, theirs in floats]
        if isinstance(weight, Tensor):
            torch._foreach_lerp_(averages, values, [weight.to(each.dtype) for each in averages])
        else:
            torch._foreach_lerp_(averages, values, weight)
        for mine, theirs in pairs:
            if not mine.is_floating_point():
                mine.copy_(theirs)
