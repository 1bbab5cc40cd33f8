"""Mixup (Zhang et al. 2017) and CutMix (Yun et al. 2019): mix each image of a batch with another one.

The loss of a mixed batch is λ · loss(targets) + (1 - λ) · loss(partners' targets). For cross-entropy, this equals the
loss of mixed targets, and it works for the loss of any task. Partners, λ and boxes are drawn from torch's generator,
whose state is in every checkpoint.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.api import Batch
from zoo.config.run_config import TrainConfig
from zoo.contract.targets import Target
from zoo.data.batch_sampler import sizes
from zoo.data.to_device import to_device


class Mixture(NamedTuple):
    """Inputs, float32 (B, C, H, W), and the batches with their targets, each with its share of the loss."""

    inputs: Tensor
    parts: tuple[tuple[float, Batch], ...]


def unmixed(batch: Batch) -> Mixture:
    return Mixture(batch.inputs, ((1.0, batch),))


def mixing_fault(train: TrainConfig, target: Target) -> str | None:
    """Return why batches with this target cannot be mixed, in one line, or None.

    Mixup weights the losses of two targets of any kind. So does CutMix, except for masks, which it pastes like the
    images. It does not support opaque targets.
    """
    if train.cutmix is not None and target.kind == "opaque":
        return "CutMix pastes a box of one image into another, which targets of the kind 'opaque' do not support"
    return None


def mix(batch: Batch, mixup: float | None, cutmix: float | None, *, masks: bool = False) -> Mixture:
    """Mix by the one that has an alpha, or by either as a coin falls; by none where neither has.

    Where the targets are ``masks`` (B, H, W), CutMix pastes them as the images: each pixel keeps its own class, and the
    mixture has one part.
    """
    if mixup is None and cutmix is None:
        return unmixed(batch)
    cut = cutmix is not None and (mixup is None or bool(torch.rand(()) < 0.5))
    alpha = cutmix if cut else mixup
    share = _beta(alpha or 1.0)
    partners = to_device(torch.randperm(len(batch.inputs)), batch.inputs.device)
    other = Batch(
        batch.inputs[partners], None if batch.targets is None else batch.targets[partners], batch.indices[partners]
    )
    if cut:
        top, bottom, left, right = _box(share, batch.inputs.shape[2], batch.inputs.shape[3])
        inputs = batch.inputs.clone()
        inputs[:, :, top:bottom, left:right] = other.inputs[:, :, top:bottom, left:right]
        if masks and batch.targets is not None and other.targets is not None:
            pasted = batch.targets.clone()
            pasted[:, top:bottom, left:right] = other.targets[:, top:bottom, left:right]
            return unmixed(Batch(inputs, pasted, batch.indices))
        # what is left of it after the border cut the box
        share = 1 - (bottom - top) * (right - left) / (inputs.shape[2] * inputs.shape[3])
    else:
        inputs = torch.lerp(other.inputs, batch.inputs, share)
    return Mixture(inputs, ((share, batch), (1 - share, other)))


def split(mixture: Mixture, size: int) -> list[Mixture]:
    """Micro-batches of ``size`` samples; the last may be smaller, or larger by one (`zoo.data.batch_sampler`)."""
    counts = sizes(len(mixture.inputs), size)
    if len(counts) == 1:
        return [mixture]
    parts = [[(share, each) for each in _pieces(batch, counts)] for share, batch in mixture.parts]
    inputs: tuple[Tensor, ...] = mixture.inputs.split(counts)  # type: ignore[no-untyped-call]
    return [Mixture(piece, tuple(column[at] for column in parts)) for at, piece in enumerate(inputs)]


def _pieces(batch: Batch, counts: list[int]) -> list[Batch]:
    inputs, indices = batch.inputs.split(counts), batch.indices.split(counts)  # type: ignore[no-untyped-call]
    targets: list[Tensor | None] = [None] * len(counts) if batch.targets is None else list(batch.targets.split(counts))  # type: ignore[no-untyped-call]
    return [Batch(*each) for each in zip(inputs, targets, indices, strict=True)]


def _beta(alpha: float) -> float:
    """Draw from Beta(α, α), as a ratio of gamma variables, with torch's generator."""
    one, other = torch._standard_gamma(torch.tensor([alpha, alpha], dtype=torch.float64)).tolist()
    return float(one / (one + other)) if one + other > 0 else 0.5


def _box(share: float, height: int, width: int) -> tuple[int, int, int, int]:
    """Return a box with (1 - share) of the area and a random centre, clipped to the image."""
    side = math.sqrt(1 - share)
    tall, wide = round(height * side), round(width * side)
    row, column = int(torch.randint(height, ())), int(torch.randint(width, ()))
    return (
        max(0, row - tall // 2),
        min(height, row + (tall + 1) // 2),
        max(0, column - wide // 2),
        min(width, column + (wide + 1) // 2),
    )
