"""An exponential moving average of a network's weights, which is often better than the weights themselves (Polyak and
Juditsky 1992)."""

from __future__ import annotations

import copy

import torch
from torch import nn


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

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        pairs = [
            (mine, theirs)
            for mine, theirs in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True)
        ]
        floats = [(mine, theirs.detach()) for mine, theirs in pairs if mine.is_floating_point()]
        torch._foreach_lerp_([mine for mine, _ in floats], [theirs for _, theirs in floats], 1 - decay)
        for mine, theirs in pairs:
            if not mine.is_floating_point():
                mine.copy_(theirs)
