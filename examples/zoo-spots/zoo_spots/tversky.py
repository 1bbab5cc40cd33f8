"""The task. Of each class but the first, the background, the loss is (1 - TP / (TP + α·FN + (1 - α)·FP))^γ, where the
numbers of pixels are sums of probabilities (N. Abraham, N. Khan: A novel focal Tversky loss function, 2018)."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from zoo import api
from zoo.plugin import decide


class TverskyOptions(api.Options):
    missed: float = Field(0.7, gt=0, lt=1, description="weight α of missed pixels; that of false ones is 1 - α")
    focus: float = Field(0.75, gt=0, description="exponent γ; below 1, images that are almost right count more")


class Tversky(api.Task[TverskyOptions]):
    monitor = api.Monitor("dice", "max")

    def loss(self, outputs: api.Outputs, batch: api.Batch) -> api.Loss:
        p = outputs[api.MAIN_OUTPUT].float().softmax(1)  # (B, K, H, W)
        hit, missed, false = counts(p, batch.targets, self.target.ignore)  # (B, K - 1) each
        alpha = self.options.missed
        index = (hit + 1) / (hit + alpha * missed + (1 - alpha) * false + 1)  # of images without the class, too
        return api.Loss(((1 - index).clamp_min(1e-6) ** self.options.focus).mean(1))  # x^γ has no gradient at 0

    def decision(self, val: api.EvaluationResult | None) -> api.PixelArgmax:
        return api.PixelArgmax(classes=self.target.names, colours=self.target.colours)

    def evaluator(self, decision: api.Decision) -> api.Evaluator:
        return Pixels(decision, self.target)


class Pixels(api.Evaluator):
    """Dice coefficient, sensitivity and precision over the pixels of all images, averaged over the classes."""

    def __init__(self, decision: api.Decision, target: api.Mask) -> None:
        self._decision, self._target, self._parts = decision, target, list[np.ndarray]()

    def update(self, outputs: api.Outputs, batch: api.Batch) -> None:
        found = torch.from_numpy(decide(outputs[api.MAIN_OUTPUT], self._decision)).long()  # (B, H, W)
        hot = F.one_hot(found, len(self._target.names)).movedim(3, 1)
        self._parts.append(torch.stack(counts(hot, batch.targets.cpu(), self._target.ignore)).double().numpy())

    def merge(self, other: Pixels) -> None:
        self._parts += other._parts

    def compute(self) -> api.EvaluationResult:
        pixels = np.concatenate(self._parts, 1)  # (3, N, K - 1): hit, missed, false
        hit, missed, false = pixels.sum(1).clip(1e-9)
        ratios = {"dice": 2 * hit / (2 * hit + missed + false), "sensitivity": hit / (hit + missed)}
        metrics = {name: float(each.mean()) for name, each in (ratios | {"precision": hit / (hit + false)}).items()}
        return api.EvaluationResult(metrics, {"wrong_pixels": pixels[1:].sum((0, 2))})


def counts(p: Tensor, masks: Tensor, ignore: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pixels that are hit, missed and false of each class but the first, (B, K - 1) each."""
    counted = torch.ones_like(masks, dtype=torch.bool) if ignore is None else masks != ignore
    truth = F.one_hot((masks * counted).long(), p.shape[1]).movedim(3, 1)  # (B, K, H, W)
    p, truth, counted = p[:, 1:], truth[:, 1:], counted[:, None]
    return tuple((each * counted).sum((2, 3)) for each in (p * truth, (1 - p) * truth, p * (1 - truth)))
