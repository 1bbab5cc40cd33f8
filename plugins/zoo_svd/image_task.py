"""Pictures by their largest singular values: a task without a network, solved in closed form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zoo.api import Batch, DataView, Evaluation, Monitor, PartView, ReportItem
from zoo.plugin import figure, plural
from zoo_svd.factors import Factors, factorise, share
from zoo_svd.image_report import Work, write_report
from zoo_svd.pictures import as_image, as_matrix
from zoo_svd.quality import psnr, ssim

METRICS = ("psnr_db", "ssim", "energy")


@dataclass(frozen=True)
class Settings:
    ranks: tuple[int, ...]
    noise: float | None
    noise_seed: int


class SvdImage:
    """The implementation of `zoo.api.Task`.

    The model holds the factors of every picture, and what each rank reaches.
    """

    monitor = Monitor("psnr_db", "max")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._part: PartView | None = None
        self._works: list[Work] = []

    def prepare(self, model: nn.Module, data: DataView) -> tuple[nn.Module, dict[str, Any]]:
        self._part = _part_of(data)
        self._works = [
            self._begun(name, image) for name, image in zip(self._part.names, self._part.originals, strict=False)
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
        structure = {"pictures": images}
        return self.restructure(model, structure), structure

    def restructure(self, model: nn.Module, structure: dict[str, Any]) -> nn.Module:
        """A module with a place for the factors of each picture: left (rows, k), right (k, columns), and the metrics of
        every rank."""
        for index, facts in enumerate(structure["pictures"]):
            held, rank = nn.Module(), max(facts["ranks"])
            held.register_buffer("left", torch.zeros(facts["rows"], rank))
            held.register_buffer("right", torch.zeros(rank, facts["columns"]))
            for metric in METRICS:
                held.register_buffer(metric, torch.zeros(len(facts["ranks"])))
            model.add_module(str(index), held)
        return model

    def fit(self, model: nn.Module, data: DataView, note: Callable[[str], None]) -> None:
        """All ranks of a picture come from one factorisation."""
        if self._part is not None and len(self._works) < len(self._part):
            note(f"the first {len(self._works)} of {len(self._part):,} pictures are looked at")
        if any(held.device.type != "cpu" for held in model.buffers()):
            note("pictures are factorised on the cpu, whatever the device")
        for held, work in zip(model.children(), self._works, strict=True):
            large = [str(rank) for rank in self._settings.ranks if rank > min(work.matrix.shape)]
            if large:
                there = plural(min(work.matrix.shape), "singular value")
                note(f"{work.name}: a rank of {' or '.join(large)} is more than its {there}: all are taken")
            work.factors = factorise(work.matrix, work.ranks[-1])
            rebuilt = [as_image(matrix, work.channels) for matrix in work.factors.each(work.ranks)]
            reached = _reached(work, rebuilt)
            for name, values in (("left", work.factors.left), ("right", work.factors.right), *reached.items()):
                getattr(held, name).copy_(torch.as_tensor(values))
            for place, rank in enumerate(work.ranks):
                told = ", ".join(figure(metric, float(reached[metric][place])) for metric in ("psnr_db", "ssim"))
                kept = share(float(reached["energy"][place]))
                note(
                    f"{work.name}, {work.matrix.shape[0]}×{work.matrix.shape[1]}, rank {rank}: {told}, {kept} of the "
                    "energy"
                )

    def evaluate(self, model: nn.Module, batches: Iterable[Batch], classes: Sequence[str]) -> Evaluation:
        """What was found when the pictures were factorised, at the largest rank: the mean over them."""
        reached = {metric: torch.stack([getattr(held, metric)[-1] for held in model.children()]) for metric in METRICS}
        outputs = torch.stack([reached[metric] for metric in METRICS], 1).cpu().numpy()  # (pictures, metrics)
        return Evaluation({metric: float(values.mean()) for metric, values in reached.items()}, outputs, None)

    def report(
        self, evaluation: Evaluation, part: PartView, classes: Sequence[str], directory: Path
    ) -> list[ReportItem]:
        """Of the part that was factorised in this process; of any other, nothing: what a run found stands in its
        folder."""
        return write_report(self._works, directory) if part is self._part else []

    def _begun(self, name: str, image: np.ndarray) -> Work:
        settings = self._settings
        matrix, channels = as_matrix(image), len(image)
        ranks = tuple(sorted({min(rank, *matrix.shape) for rank in settings.ranks}))
        original = as_image(matrix, channels)
        if settings.noise is None:
            return Work(name, original, matrix, channels, ranks)
        numbers = np.random.default_rng([settings.noise_seed, len(name), *name.encode()])
        noisy = np.clip(matrix + numbers.normal(0, settings.noise, matrix.shape), 0, 255).astype(np.float32)
        return Work(name, original, noisy, channels, ranks, settings.noise)


def _part_of(data: DataView) -> PartView:
    """The part to look at: the one that a run judges."""
    return data.parts["test"] if "test" in data.parts else next(iter(data.parts.values()))


def _reached(work: Work, rebuilt: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    factors: Factors = work.found
    return {
        "psnr_db": np.array([psnr(image, work.original) for image in rebuilt]),
        "ssim": np.array([ssim(image, work.original) for image in rebuilt]),
        "energy": np.array([factors.kept(rank) for rank in work.ranks]),
    }


def build(ranks: Sequence[int], noise: float | None, noise_seed: int) -> SvdImage:
    return SvdImage(Settings(tuple(ranks), noise, noise_seed))
