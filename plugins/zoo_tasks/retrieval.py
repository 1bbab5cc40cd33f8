"""Image retrieval: a network gives each image a vector, and images of the same class have similar vectors.

The loss is the supervised contrastive loss (P. Khosla et al.: Supervised contrastive learning, 2020, equation 2) on
L2-normalised outputs. For sample i with the positives P(i), the other samples of its class in the batch,

    loss(i) = -1/|P(i)| · Σ_{p in P(i)} log( exp(zᵢ·z_p / τ) / Σ_{a ≠ i} exp(zᵢ·z_a / τ) )

The network is evaluated by the ranking of all other images of the split (see `zoo_tasks.retrieval_metrics`). With the
adaptation ``features``, nothing is trained: the features of the pretrained network are evaluated as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch.nn import functional as F

from zoo.api import (
    MAIN_OUTPUT,
    Batch,
    Classes,
    Decision,
    Embedding,
    EvaluationResult,
    Loss,
    Monitor,
    Outputs,
    PartView,
    ReportItem,
    Task,
)
from zoo_tasks.options import RetrievalOptions
from zoo_tasks.retrieval_metrics import RetrievalEvaluator

GALLERY = "gallery.safetensors"


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context without autocast, on devices that have it."""
    return torch.autocast(device.type, enabled=False) if torch.amp.is_autocast_available(device.type) else nullcontext()


class Retrieval(Task[RetrievalOptions]):
    monitor = Monitor("mean_average_precision", "max")
    batchwise = True

    def num_outputs(self) -> int:
        return self.options.dimensions

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        """Return the supervised contrastive loss of each sample, float32 (B,); samples without a positive have the
        weight 0."""
        if batch.targets is None:
            raise ValueError("retrieval is trained on labelled images")
        vectors = F.normalize(outputs[MAIN_OUTPUT].float(), dim=1)
        with full_precision(vectors.device):  # similarities in half precision are too coarse
            logits = vectors @ vectors.T / self.options.temperature  # (B, B)
        itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
        positive = (batch.targets[:, None] == batch.targets[None]) & ~itself
        # -1e9 and not -inf, whose product with 0 is not a number
        log_shares = F.log_softmax(logits.masked_fill(itself, -1e9), dim=1)
        count = positive.sum(1)
        values = -(log_shares * positive).sum(1) / count.clamp(min=1)
        return Loss(values, (count > 0).float())

    def decision(self, val: EvaluationResult | None) -> Embedding:
        return Embedding(gallery=GALLERY if self.options.gallery else None)

    def evaluator(self, decision: Decision) -> RetrievalEvaluator:
        return RetrievalEvaluator()

    def report(self, result: EvaluationResult, part: PartView, directory: Path) -> Sequence[ReportItem]:
        if not isinstance(self.target, Classes) or result.outputs is None or part.targets is None or len(part) < 2:
            return ()
        from zoo_tasks.retrieval_report import write_report  # with matplotlib, which no training waits for

        return write_report(result, part, self.target.names, directory)
