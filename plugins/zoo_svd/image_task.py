"""Images by their largest singular values: a task without a network, solved without training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zoo.api import JSON, DataView, EvaluationResult, PartView, ReportItem, Solver
from zoo.plugin import figure, plural
from zoo_svd.factors import Factors, factorise, share
from zoo_svd.image_report import Work, write_report
from zoo_svd.images import as_image, as_matrix
from zoo_svd.options import ImageOptions
from zoo_svd.quality import psnr, ssim

METRICS = ("psnr_db", "ssim", "energy")


class SvdImage(Solver[ImageOptions]):
    """The module holds the factors of every image, and what each rank reaches."""

    def __init__(self, options: ImageOptions) -> None:
        super().__init__(options)
        self._part: PartView | None = None
        self._works: list[Work] = []

    def plan(self, data: DataView) -> dict[str, Any]:
        self._part = _part_of(data)
        self._works = [
            self._begun(name, image) for name, image in zip(self._part.names, self._part.raw_images, strict=False)
        ]
        images = [
            {
                "name": work.name,
                "rows": len(work.matrix),
                "columns": work.matrix.shape[1],
                "channels": work.channels,
                "ranks": list(work.ranks),
            }
            for work in self._works
        ]
        return {"images": images}

    def rebuild(self, solution: JSON) -> nn.Module:
        """A module with a place for the factors of each image: left (rows, k), right (k, columns), and the metrics of
        every rank."""
        model = nn.Module()
        for index, facts in enumerate(solution["images"]):
            held, rank = nn.Module(), max(facts["ranks"])
            held.register_buffer("left", torch.zeros(facts["rows"], rank))
            held.register_buffer("right", torch.zeros(rank, facts["columns"]))
            for metric in METRICS:
                held.register_buffer(metric, torch.zeros(len(facts["ranks"])))
            model.add_module(str(index), held)
        return model

    def solve(self, model: nn.Module, data: DataView, print: Callable[[str], None]) -> None:  # noqa: A002
        """All ranks of an image come from one factorisation."""
        if self._part is not None and len(self._works) < len(self._part):
            print(f"using the first {len(self._works)} of {len(self._part):,} images")
        if any(held.device.type != "cpu" for held in model.buffers()):
            print("images are factorised on the cpu, whatever the device")
        for held, work in zip(model.children(), self._works, strict=True):
            large = [str(rank) for rank in self.options.ranks if rank > min(work.matrix.shape)]
            if large:
                there = plural(min(work.matrix.shape), "singular value")
                print(f"{work.name}: rank {' or '.join(large)} exceeds its {there}; using all of them")
            work.factors = factorise(work.matrix, work.ranks[-1])
            rebuilt = [as_image(matrix, work.channels) for matrix in work.factors.each(work.ranks)]
            reached = _reached(work, rebuilt)
            for name, values in (("left", work.factors.left), ("right", work.factors.right), *reached.items()):
                getattr(held, name).copy_(torch.as_tensor(values))
            for place, rank in enumerate(work.ranks):
                told = ", ".join(figure(metric, float(reached[metric][place])) for metric in ("psnr_db", "ssim"))
                kept = share(float(reached["energy"][place]))
                print(
                    f"{work.name}, {work.matrix.shape[0]}×{work.matrix.shape[1]}, rank {rank}: {told}, {kept} of the "
                    "energy"
                )

    def evaluate(self, model: nn.Module, part: PartView) -> EvaluationResult:
        """What was found when the images were factorised, at the largest rank: the mean over them."""
        reached = {metric: torch.stack([getattr(held, metric)[-1] for held in model.children()]) for metric in METRICS}
        figures = {metric: float(values.mean()) for metric, values in reached.items()}
        columns = {metric: values.cpu().numpy() for metric, values in reached.items()}
        # of many images, the first ones alone were factorised
        return EvaluationResult(figures, columns if all(len(each) == len(part) for each in columns.values()) else {})

    def report(self, result: EvaluationResult, part: PartView, directory: Path) -> list[ReportItem]:
        """Of the part that was factorised in this process; of any other, nothing: what a run found stands in its
        folder."""
        return write_report(self._works, directory) if part is self._part else []

    def _begun(self, name: str, image: np.ndarray) -> Work:
        settings = self.options
        matrix, channels = as_matrix(image), len(image)
        ranks = tuple(sorted({min(rank, *matrix.shape) for rank in settings.ranks}))
        original = as_image(matrix, channels)
        if settings.noise is None:
            return Work(name, original, matrix, channels, ranks)
        numbers = np.random.default_rng([settings.noise_seed, len(name), *name.encode()])
        noisy = np.clip(matrix + numbers.normal(0, settings.noise, matrix.shape), 0, 255).astype(np.float32)
        return Work(name, original, noisy, channels, ranks, settings.noise)


def _part_of(data: DataView) -> PartView:
    """The part to look at: the one that a run evaluates."""
    return data.parts["test"] if "test" in data.parts else next(iter(data.parts.values()))


def _reached(work: Work, rebuilt: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    factors: Factors = work.found
    return {
        "psnr_db": np.array([psnr(image, work.original) for image in rebuilt]),
        "ssim": np.array([ssim(image, work.original) for image in rebuilt]),
        "energy": np.array([factors.kept(rank) for rank in work.ranks]),
    }
