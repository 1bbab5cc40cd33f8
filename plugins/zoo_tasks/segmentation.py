"""Semantic segmentation: a class for each pixel, trained with cross-entropy, Dice or focal loss, or a sum of them.

Networks return logits (N, K, H, W) at the size of their input. Pixels with the mask's ignore value count neither in the
loss nor in the metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.api import (
    MAIN_OUTPUT,
    Batch,
    Decision,
    EvaluationResult,
    Loss,
    Mask,
    Monitor,
    Outputs,
    PartView,
    PixelArgmax,
    ReportItem,
    Target,
    Task,
)
from zoo.errors import DataError, UsageError
from zoo_tasks.segmentation_metrics import SegmentationEvaluator
from zoo_tasks.segmentation_options import SegmentationOptions

READ = 256
"""Masks that are read at once to count their pixels."""
LEAST_WEIGHT = 1e-12
"""The weight of a sample without pixels that count, so that a batch of such samples has the loss 0, and not 0 / 0."""


class Pixels(NamedTuple):
    """What the losses need: ``log_p`` float32 (B, K, H, W), log-softmax of the logits; ``classes`` int64 (B, H, W), 0
    where a pixel is ignored; ``counted`` float32 (B, H, W), 1 or 0."""

    log_p: Tensor
    classes: Tensor
    counted: Tensor

    @classmethod
    def of(cls, logits: Tensor, masks: Tensor, ignore: int | None) -> Pixels:
        counted = torch.ones_like(masks, dtype=torch.bool) if ignore is None else masks != ignore
        return cls(logits.float().log_softmax(1), (masks * counted).long(), counted.float())

    @property
    def losses(self) -> Tensor:
        """The cross-entropy of each pixel, (B, H, W).

        By `gather`, because torch's two-dimensional cross-entropy has no deterministic implementation on CUDA.
        """
        return -self.log_p.gather(1, self.classes[:, None])[:, 0]


class Segmentation(Task[SegmentationOptions]):
    monitor = Monitor("mean_iou", "max")

    @classmethod
    def statistics(cls, options: SegmentationOptions, target: Target, train: PartView) -> dict[str, Any]:
        """Return the class weights, if any."""
        weights = pixel_weights(options, _mask(target), train)
        return {} if weights is None else {"class_weights": weights}

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        """Return the loss of each image, the sum of the terms of ``loss``.

        The weight of an image is the sum of the class weights of its counted pixels over its number of pixels, so that
        the cross-entropy of a batch is that of torch over all of its pixels, whatever the images have ignored.
        """
        if batch.targets is None:
            raise ValueError("segmentation is trained on images with masks")
        logits = outputs[MAIN_OUTPUT]
        pixels = Pixels.of(logits, batch.targets, _mask(self.target).ignore)
        weights = pixels.counted * self._class_weights(logits, pixels.classes)
        total = weights.sum((1, 2)).clamp_min(LEAST_WEIGHT)
        values = torch.zeros_like(total)
        for term in self.options.terms:
            match term:
                case "cross_entropy":
                    values = values + (weights * pixels.losses).sum((1, 2)) / total
                case "focal":
                    values = values + (weights * focal(pixels, self.options.focal_gamma)).sum((1, 2)) / total
                case "dice":
                    values = values + self.options.dice_weight * dice_loss(pixels)
        return Loss(values, (total / weights[0].numel()).clamp_min(LEAST_WEIGHT))

    def _class_weights(self, like: Tensor, classes: Tensor) -> Tensor | float:
        return self.constants(like, "class_weights")[0][classes] if "class_weights" in self.stats else 1.0

    def decision(self, val: EvaluationResult | None) -> PixelArgmax:
        target = _mask(self.target)
        return PixelArgmax(classes=target.names, colours=target.colours)

    def evaluator(self, decision: Decision) -> SegmentationEvaluator:
        """Return an evaluator without class weights."""
        target = _mask(self.target)
        return SegmentationEvaluator(len(target.names), target.ignore, self.options.boundary)

    def report(self, result: EvaluationResult, part: PartView, directory: Path) -> list[ReportItem]:
        from zoo_tasks.segmentation_report import write_report  # with matplotlib, which no step of the training needs

        return write_report(result, part, _mask(self.target), directory)


def _mask(target: Target) -> Mask:
    if not isinstance(target, Mask):
        raise TypeError(f"segmentation needs masks, not {target.kind}")
    return target


def focal(pixels: Pixels, gamma: float) -> Tensor:
    """Return the focal loss of each pixel, -(1 - p)^γ · log p, (B, H, W); p is the probability of the true class.

    T.-Y. Lin et al.: Focal loss for dense object detection (2017), equation 4, for more than two classes.
    """
    losses = pixels.losses
    return (1 - (-losses).exp()).clamp_min(0) ** gamma * losses


def dice_loss(pixels: Pixels, smooth: float = 1.0) -> Tensor:
    """Return the soft Dice loss of each image (B,): 1 - the mean over the classes of (2 Σ p·t + s) / (Σ p + Σ t + s).

    Sums are over the counted pixels of the image; t is 1 where the pixel is of the class. A class that is neither in
    the image nor predicted has the loss 0. F. Milletari et al.: V-Net (2016), with the denominator of C. Sudre et al.:
    Generalised Dice overlap (2017).
    """
    p = pixels.log_p.exp() * pixels.counted[:, None]
    # (B, H, W, K) → (B, K, H, W)
    t = F.one_hot(pixels.classes, p.shape[1]).movedim(3, 1) * pixels.counted[:, None]
    both, either = (p * t).sum((2, 3)), (p + t).sum((2, 3))
    return 1 - ((2 * both + smooth) / (either + smooth)).mean(1)


def pixel_weights(options: SegmentationOptions, target: Mask, train: PartView) -> list[float] | None:
    """Return a weight for each class, rounded to float32.

    Raises UsageError for a wrong number of weights, DataError if a class to balance has no pixels.
    """
    asked, names = options.class_weights, target.names
    if asked is None:
        return None
    if asked != "balanced":
        if len(asked) != len(names):
            raise UsageError(
                f"there are {len(asked)} weights for {len(names)} classes",
                where="task.class_weights",
                fix="give one for each, in their order",
            )
        return torch.tensor(asked, dtype=torch.float32).tolist()
    counts = sum((np.bincount(masks.ravel(), minlength=256) for masks in _masks(train)), np.zeros(256, np.int64))
    counts = counts[: len(names)]
    empty = [name for name, count in zip(names, counts, strict=True) if count == 0]
    if empty:
        raise DataError(
            f"no training pixel has the class {', '.join(map(repr, empty))}, which cannot be balanced",
            where="task.class_weights",
            fix="add images of it, or give the weights as numbers",
        )
    return torch.from_numpy(counts.sum() / (len(names) * counts)).float().tolist()


def _masks(train: PartView) -> Iterator[np.ndarray]:
    for start in range(0, len(train), READ):
        rows: Sequence[int] = range(start, min(len(train), start + READ))
        found = train.targets_of(rows)
        if found is not None:
            yield found
