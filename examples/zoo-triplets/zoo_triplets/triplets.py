"""The task: the batch-all triplet loss. Each image of a batch is compared with every image of its class and every image
of another class, which is to be farther away by a margin (A. Hermans, L. Beyer, B. Leibe: In defense of the triplet
loss, 2017, equation 6)."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from torch.nn import functional as F

from zoo import api
from zoo.plugin import decide
from zoo_triplets.options import TripletsOptions


class Triplets(api.Task[TripletsOptions]):
    monitor = api.Monitor("map_at_r", "max")
    batchwise = True  # the loss of an image depends on the others of its batch

    def num_outputs(self) -> int:
        return self.options.dimensions

    def loss(self, outputs: api.Outputs, batch: api.Batch) -> api.Loss:
        """The mean over the triplets that are not far enough apart; an image counts as often as it is in one."""
        vectors = F.normalize(outputs[api.MAIN_OUTPUT].float(), dim=1)
        squared = (vectors[:, None] - vectors).square().sum(2)  # (B, B)
        distances = squared.clamp_min(1e-12).sqrt()  # the square root has no gradient at 0
        same = batch.targets[:, None] == batch.targets[None]
        positive = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
        # (B, B, B): anchor, positive, negative
        terms = (distances[:, :, None] - distances[:, None] + self.options.margin).relu()
        active = (terms * (positive[:, :, None] & ~same[:, None]) > 0).float()
        count = active.sum((1, 2))
        return api.Loss((terms * active).sum((1, 2)) / count.clamp_min(1), count)

    def decision(self, val: api.EvaluationResult | None) -> api.Embedding:
        return api.Embedding(gallery="gallery.safetensors")  # zoo writes it: the vectors of the train split

    def evaluator(self, decision: api.Decision) -> api.Evaluator:
        return Neighbours(decision)


class Neighbours(api.Evaluator):
    """Each image is a query among all others; R is the number of images of its class among them.

    ``map_at_r`` is the mean over the queries of the precision at each match among the first R, divided by R (K.
    Musgrave, S. Belongie, S. Lim: A metric learning reality check, 2020, section 3.2).
    """

    def __init__(self, decision: api.Decision) -> None:
        self._decision, self._parts = decision, list[tuple[np.ndarray, np.ndarray]]()

    def update(self, outputs: api.Outputs, batch: api.Batch) -> None:
        self._parts.append((decide(outputs[api.MAIN_OUTPUT], self._decision), batch.targets.cpu().numpy()))

    def merge(self, other: Self) -> None:
        self._parts += other._parts

    def compute(self) -> api.EvaluationResult:
        vectors, labels = (np.concatenate(each) for each in zip(*self._parts, strict=True))
        found = np.array([of_query(row, vectors, labels) for row in range(len(labels))])  # (N, 2)
        counted = found[~np.isnan(found[:, 0])]
        map_at_r, first = counted.mean(0) if len(counted) else (0.0, 0.0)
        metrics = {"map_at_r": float(map_at_r), "recall_at_1": float(first)}
        return api.EvaluationResult(metrics, {"average_precision_at_r": found[:, 0]})


def of_query(row: int, vectors: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the average precision at R of one query, and whether its closest image matches; NaN if R is 0."""
    similarities = vectors @ vectors[row]
    similarities[row] = -np.inf
    count = int((labels == labels[row]).sum()) - 1
    if count == 0:
        return np.nan, np.nan
    match = labels[np.argsort(-similarities, kind="stable")[:count]] == labels[row]  # (R,)
    precision = np.cumsum(match) / np.arange(1, count + 1)
    return float((precision * match).sum() / count), float(match[0])
