"""The task: a network with two outputs for each keypoint, whose sigmoid is a position within the image."""

from __future__ import annotations

from typing import Self

import numpy as np

from zoo.api import (
    MAIN_OUTPUT,
    Affine,
    Batch,
    Decision,
    EvaluationResult,
    Evaluator,
    Loss,
    Monitor,
    Options,
    Outputs,
    Task,
)
from zoo.plugin import decide
from zoo_keypoints.pointers import SIDE

NAMES = ("head_x", "head_y", "tail_x", "tail_y")


class Keypoints(Task[Options]):
    monitor = Monitor("distance_px", "min")

    def num_outputs(self) -> int:
        return len(NAMES)

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        found = outputs[MAIN_OUTPUT].float().sigmoid() * SIDE  # (B, 4)
        return Loss((found - batch.targets).abs().mean(1))

    def decision(self, val: EvaluationResult | None) -> Decision:
        count = len(NAMES)
        return Affine(
            names=NAMES, units=("px",) * count, scale=(float(SIDE),) * count, offset=(0.0,) * count, link="sigmoid"
        )

    def evaluator(self, decision: Decision) -> Evaluator:
        return Distances(decision)


class Distances(Evaluator):
    """The mean distance between a keypoint and its prediction, and the share within 2 pixels (PCK)."""

    def __init__(self, decision: Decision) -> None:
        self._decision, self._parts = decision, list[np.ndarray]()

    def update(self, outputs: Outputs, batch: Batch) -> None:
        errors = decide(outputs[MAIN_OUTPUT], self._decision) - batch.targets.cpu().numpy()  # (B, 4), in pixels
        self._parts.append(np.linalg.norm(errors.reshape(-1, 2, 2), axis=-1))  # (B, 2)

    def merge(self, other: Self) -> None:
        self._parts += other._parts

    def compute(self) -> EvaluationResult:
        distances = np.concatenate(self._parts)
        metrics = {"distance_px": float(distances.mean()), "within_2_px": float((distances <= 2).mean())}
        return EvaluationResult(metrics, per_sample={"head_px": distances[:, 0], "tail_px": distances[:, 1]})
