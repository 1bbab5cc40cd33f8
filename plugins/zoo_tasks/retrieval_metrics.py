"""Metrics of a ranking by cosine similarity.

Each sample of a split is a query; all other samples are ranked by their cosine similarity to it, and those of its class
are relevant. A query without a relevant sample is not counted.

- ``recall_at_k``: the fraction of queries with a relevant sample among the first k (H. Jegou et al.: Product
  quantization for nearest neighbor search, 2011; as usual in metric learning).
- ``mean_average_precision``: the mean over the queries of the average precision, Σ precision(r) / relevant over the
  ranks r of the relevant samples (C. Manning et al.: Introduction to information retrieval, 2008, section 8.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from zoo.api import MAIN_OUTPUT, Batch, EvaluationResult, Evaluator, Outputs
from zoo.plugin import runtime

RANKS = (1, 5, 10)
BLOCK_BYTES = 64 << 20
"""The size of a block of similarities, so that those of all pairs need not fit into memory."""


class Ranking(NamedTuple):
    """The metrics of each query (N,): its average precision and the rank of its first relevant sample, from 1; both 0
    for a query without a relevant sample."""

    average_precision: np.ndarray
    first: np.ndarray


class RetrievalEvaluator(Evaluator):
    def __init__(self) -> None:
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []

    def update(self, outputs: Outputs, batch: Batch) -> None:
        if batch.targets is None:
            raise ValueError("retrieval is evaluated on labelled images")
        self._outputs.append(outputs[MAIN_OUTPUT].detach().float().cpu())
        self._targets.append(batch.targets.cpu())

    def merge(self, other: Self) -> None:
        self._outputs += other._outputs
        self._targets += other._targets

    def compute(self) -> EvaluationResult:
        found = rank(torch.cat(self._outputs).numpy(), torch.cat(self._targets).numpy())
        counted = found.first > 0
        queries = max(1, int(counted.sum()))
        metrics = {
            "mean_average_precision": float(found.average_precision[counted].sum() / queries),
            **{f"recall_at_{k}": float((found.first[counted] <= k).sum() / queries) for k in RANKS},
        }
        per_sample = {"average_precision": found.average_precision, "first_match": found.first}
        return EvaluationResult(metrics, per_sample, {"queries": int(counted.sum()), "samples": len(counted)})


def rank(outputs: np.ndarray, targets: np.ndarray) -> Ranking:
    """Return the metrics of each query for outputs (N, D), in any scale, and classes (N,).

    Equal similarities keep the order of the samples.
    """
    precision, first = np.zeros(len(outputs)), np.zeros(len(outputs), np.int64)
    labels = torch.from_numpy(np.ascontiguousarray(targets))
    for rows, similarities in blocks(outputs):
        # (B, N) → (B, N - 1): the query itself is last in its ranking, and left out.
        order = similarities.argsort(dim=1, descending=True, stable=True)[:, :-1]
        relevant = labels[order] == labels[rows][:, None]
        ranks = torch.arange(1, order.shape[1] + 1)
        count = relevant.sum(1)
        shares = relevant.cumsum(1) / ranks
        precision[rows] = ((shares * relevant).sum(1, dtype=torch.float64) / count.clamp(min=1)).numpy()
        first[rows] = torch.where(count > 0, relevant.int().argmax(1) + 1, 0).numpy()
    return Ranking(precision, first)


def nearest(outputs: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples closest to each query (Q, count), without the query itself, and their similarities."""
    found = [similarities.topk(min(count, len(outputs) - 1), dim=1) for _, similarities in blocks(outputs, queries)]
    return np.concatenate([each.indices for each in found]), np.concatenate([each.values for each in found])


def blocks(outputs: np.ndarray, queries: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Yield queries (B,) with their cosine similarities to all samples, float32 (B, N); that of a query to itself is
    -inf."""
    vectors = torch.from_numpy(runtime.normalise_rows(outputs).astype(np.float32))
    rows = np.arange(len(vectors)) if queries is None else queries
    size = max(1, BLOCK_BYTES // (4 * len(vectors)))
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        similarities = vectors[block] @ vectors.T
        similarities[torch.arange(len(block)), torch.from_numpy(block)] = -torch.inf
        yield block, similarities
