"""The metrics of segmentation, computed batch by batch from a confusion matrix of pixels."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.api import MAIN_OUTPUT, Batch, EvaluationResult, Evaluator, Outputs
from zoo_tasks.intervals import bootstrap


class SegmentationEvaluator(Evaluator):
    """Mean IoU, pixel accuracy, boundary IoU and loss, of logits float32 (N, K, H, W) and masks uint8 (N, H, W).

    Only sums over all pixels, and a few numbers of each image, are kept. A class that is neither in the masks nor
    predicted does not count in a mean. The loss is plain cross-entropy over pixels, however it was trained.
    """

    def __init__(self, classes: int, ignore: int | None, boundary: float = 0.02) -> None:
        self._classes, self._ignore, self._ratio = classes, ignore, boundary
        self._confusion = torch.zeros(classes, classes, dtype=torch.int64)
        self._boundary = torch.zeros(2, classes, dtype=torch.int64)
        self._areas: list[Tensor] = []
        self._loss = 0.0
        self._columns: dict[str, list[Tensor]] = {"mean_iou": [], "pixel_accuracy": [], "loss": []}

    def update(self, outputs: Outputs, batch: Batch) -> None:
        logits, masks = outputs[MAIN_OUTPUT], batch.targets
        if masks is None:
            raise ValueError("the evaluation of segmentation needs masks")
        counted = torch.ones_like(masks, dtype=torch.bool) if self._ignore is None else masks != self._ignore
        truth, guess = (masks * counted).long(), logits.argmax(1)
        losses = -logits.log_softmax(1).gather(1, truth[:, None])[:, 0]
        losses = (losses * counted).double().sum((1, 2)).cpu()
        self._loss += losses.sum().item()
        confusions = self._confusions(truth, guess, counted)
        self._confusion += confusions.sum(0)
        both = confusions.diagonal(dim1=1, dim2=2)
        self._areas.append(torch.stack([both, confusions.sum(1) + confusions.sum(2) - both]))  # (2, B, K)
        self._boundary += boundary_counts(truth, guess, counted, self._classes, self._ratio).cpu()
        pixels = confusions.sum((1, 2)).double()
        right = confusions.diagonal(dim1=1, dim2=2).sum(1).double()
        ious = torch.stack([iou(each).nanmean() for each in confusions])
        for name, column in zip(self._columns, (ious, right / pixels, losses / pixels), strict=True):
            self._columns[name].append(column)

    def _confusions(self, truth: Tensor, guess: Tensor, counted: Tensor) -> Tensor:
        """int64 (B, K, K) on the CPU: truth by row, prediction by column."""
        k = self._classes
        image = torch.arange(len(truth), device=truth.device)[:, None, None]
        cells = ((image * k + truth) * k + guess)[counted]
        return torch.bincount(cells.cpu(), minlength=len(truth) * k * k).view(-1, k, k)

    def merge(self, other: Self) -> None:
        self._confusion += other._confusion
        self._areas += other._areas
        self._boundary += other._boundary
        self._loss += other._loss
        for name, column in self._columns.items():
            column.extend(other._columns[name])

    def intervals(self) -> dict[str, tuple[float, float]]:
        """The bootstrap interval of the mean IoU, over images."""
        both, union = torch.cat(self._areas, 1).double().numpy()  # (N, K) each

        def mean_iou(counts: np.ndarray) -> np.ndarray:
            areas = counts @ union
            found = np.divide(counts @ both, areas, out=np.full_like(areas, np.nan), where=areas > 0)
            known = ~np.isnan(found)
            return np.asarray(np.where(known, found, 0).sum(1) / np.maximum(known.sum(1), 1))

        return {"mean_iou": bootstrap(len(both), mean_iou)}

    def compute(self) -> EvaluationResult:
        """``details`` are ``confusion`` (K, K; truth by row) and ``per_class``: lists of K with pixels, iou, accuracy
        and boundary_iou, None where there is nothing to divide by."""
        confusion = self._confusion
        by_class = {
            "iou": iou(confusion),
            "accuracy": confusion.diagonal().double() / confusion.sum(1),
            "boundary_iou": self._boundary[0].double() / self._boundary[1],
        }
        pixels = int(confusion.sum())
        metrics = {
            "mean_iou": by_class["iou"].nanmean().item(),
            "pixel_accuracy": confusion.trace().item() / max(1, pixels),
            "boundary_iou": by_class["boundary_iou"].nanmean().item(),
            "loss": self._loss / max(1, pixels),
        }
        scores = {name: [_none_if_nan(value) for value in column.tolist()] for name, column in by_class.items()}
        details: dict[str, Any] = {
            "confusion": confusion.tolist(),
            "per_class": {"pixels": confusion.sum(1).tolist(), **scores},
        }
        columns: dict[str, np.ndarray] = {name: torch.cat(column).numpy() for name, column in self._columns.items()}
        return EvaluationResult(metrics, columns, details)


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def iou(confusion: Tensor) -> Tensor:
    """Return intersection over union of each class, float64 (K,), of a confusion matrix (K, K); NaN for a class that is
    neither in the masks nor predicted."""
    both = confusion.diagonal().double()
    return both / (confusion.sum(0) + confusion.sum(1) - both)


def boundary_counts(truth: Tensor, guess: Tensor, counted: Tensor, classes: int, ratio: float) -> Tensor:
    """Return the pixels of the intersection and of the union of the boundary regions of each class, int64 (2, K), over
    a batch.

    The boundary region of a mask has the pixels within d of its contour, inside the mask; d is ``ratio`` times the
    diagonal of the image, at least 1 pixel, and the border of the image is part of the contour. B. Cheng et al.:
    Boundary IoU: improving object-centric image segmentation evaluation (2021), equation 2.
    """
    width = max(1, round(ratio * math.hypot(*truth.shape[1:])))
    regions = []
    for mask in (truth, guess):
        inside = (F.one_hot(mask, classes) * counted[..., None]).movedim(3, 1).float()  # (B, K, H, W)
        regions.append((inside - eroded(inside, width)).bool())
    one, other = regions
    return torch.stack([(one & other).sum((0, 2, 3)), (one | other).sum((0, 2, 3))])


def eroded(masks: Tensor, width: int) -> Tensor:
    """Return masks, float 0 or 1 (B, K, H, W), without the pixels within ``width`` of a pixel outside: the minimum over
    a square, one axis after the other, with zeros around the image."""
    outside = F.pad(1 - masks, [width] * 4, value=1.0)
    side = 2 * width + 1
    return 1 - F.max_pool2d(F.max_pool2d(outside, (side, 1), 1), (1, side), 1)
