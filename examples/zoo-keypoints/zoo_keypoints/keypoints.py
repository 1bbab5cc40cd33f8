"""The task: a network with two outputs for each keypoint, whose sigmoid is a position within the image."""

from __future__ import annotations

from typing import Self

import numpy as np

from zoo import api
from zoo.errors import UsageError
from zoo.plugin import decide
from zoo_keypoints.pointers import SIDE

NAMES = ("head_x", "head_y", "tail_x", "tail_y")


class Keypoints(api.Task[api.Options]):
    monitor = api.Monitor("distance_px", "min")

    @classmethod
    def statistics(cls, options: api.Options, target: api.Target, train: api.PartView) -> api.JSON:
        del options, train
        if not isinstance(target, api.Opaque) or target.shape != (len(NAMES),):
            raise UsageError("this task needs the four coordinates of a head and a tail", fix="use keypoints/pointers")
        return {}

    def num_outputs(self) -> int:
        return len(NAMES)

    def loss(self, outputs: api.Outputs, batch: api.Batch) -> api.Loss:
        found = outputs[api.MAIN_OUTPUT].float().sigmoid() * SIDE  # (B, 4)
        return api.Loss((found - batch.targets).abs().mean(1))

    def decision(self, val: api.EvaluationResult | None) -> api.Decision:
        count = len(NAMES)
        return api.Affine(
            names=NAMES, units=("px",) * count, scale=(float(SIDE),) * count, offset=(0.0,) * count, link="sigmoid"
        )

    def evaluator(self, decision: api.Decision) -> api.Evaluator:
        return Distances(decision)


class Distances(api.Evaluator):
    """The mean distance between a keypoint and its prediction, and the share within 2 pixels (PCK)."""

    def __init__(self, decision: api.Decision) -> None:
        self._decision, self._parts = decision, list[np.ndarray]()

    def update(self, outputs: api.Outputs, batch: api.Batch) -> None:
        errors = decide(outputs[api.MAIN_OUTPUT], self._decision) - batch.targets.cpu().numpy()  # (B, 4), in pixels
        self._parts.append(np.linalg.norm(errors.reshape(-1, 2, 2), axis=-1))  # (B, 2)

    def merge(self, other: Self) -> None:
        self._parts += other._parts

    def compute(self) -> api.EvaluationResult:
        distances = np.concatenate(self._parts)
        metrics = {"distance_px": float(distances.mean()), "within_2_px": float((distances <= 2).mean())}
        return api.EvaluationResult(metrics, per_sample={"head_px": distances[:, 0], "tail_px": distances[:, 1]})
