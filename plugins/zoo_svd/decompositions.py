"""The weights of a factorised layer at any rank, from one decomposition.

``plain`` uses the truncated SVD of the layer's matrix, the closest matrix of a rank, independent of the inputs.
``responses`` uses the inputs' mean μ and covariance C. The responses of a matrix M then have the covariance M·C·Mᵀ.
With its leading eigenvectors U, U·Uᵀ·M is the matrix of that rank with the closest responses, and (I - U·Uᵀ)·M·μ, added
to the bias, preserves their mean (X. Zhang et al. 2015, section 3.1). No covariance is inverted.

The forms differ in M. For ``channels``, its rows are the filters (m × c·k·k), and the responses are the layer's
outputs. For ``spatial``, its rows are the columns of filters (m·k × c·k), of which the layer adds k. ``tucker`` applies
this to the outputs, and to the c input channels, weighted by their covariance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zoo_svd.forms import Form, Layer
from zoo_svd.seen import Moments, Seen

Weights = tuple[list[Tensor], Tensor]
"""The weights of each factor, to be reshaped, and the offset of the bias (m,)."""
Parts = Callable[[int], tuple[Tensor, Tensor, Tensor]]
"""The factors of a rank, (r, n) and (m, r), and the offset of the mean (m,)."""


@dataclass(frozen=True)
class Decomposition:
    """A decomposition. ``spectra``: for each rank of the form, the energy of every component, float64, descending;
    ``weights`` returns the weights for ranks."""

    spectra: tuple[Tensor, ...]
    weights: Callable[[tuple[int, ...]], Weights]

    def lost(self, ranks: tuple[int, ...]) -> float:
        """Return the share of the energy that ranks omit, at most 1."""
        return min(1.0, sum(shares[rank] for shares, rank in zip(self._left_out, ranks, strict=True)))

    @cached_property
    def _left_out(self) -> list[list[float]]:
        """For each spectrum the share that the first 0, 1, 2, … components leave out."""
        behind = [[*spectrum.flip(0).cumsum(0).flip(0).tolist(), 0.0] for spectrum in self.spectra]
        return [[value / (sums[0] or 1.0) for value in sums] for sums in behind]


def decompose(layer: Layer, form: Form, seen: Seen | None) -> Decomposition:
    """Decompose by the layer's moments, or (without ``seen``) by its weights only."""
    if form == "tucker":
        return _tucker(layer, seen)
    kernel = layer.weight.detach().double()
    if form == "spatial":
        return _spatial(kernel, None if seen is None else seen.columns)
    spectrum, parts = (
        of_weights(kernel.flatten(1)) if seen is None else of_responses(kernel.flatten(1), *_answers(layer, seen))
    )

    def weights(ranks: tuple[int, ...]) -> Weights:
        first, second, offset = parts(ranks[0])
        return [first, second], offset

    return Decomposition((spectrum,), weights)


def of_weights(matrix: Tensor) -> tuple[Tensor, Parts]:
    """By the eigenvectors of M·Mᵀ (or Mᵀ·M, the smaller) in double precision; √σ is split between the two layers."""
    wide = matrix.shape[0] <= matrix.shape[1]
    flat = matrix if wide else matrix.T
    squares, vectors = _eigen(flat @ flat.T)
    root = squares.clamp_min(float(squares[0]) * 1e-20 + 1e-300).pow(0.25)

    def parts(rank: int) -> tuple[Tensor, Tensor, Tensor]:
        one = vectors[:, :rank] * root[:rank]
        other = (vectors[:, :rank].T @ flat) / root[:rank, None]
        return *((other, one) if wide else (one.T, other.T)), torch.zeros(
            len(matrix), dtype=matrix.dtype, device=matrix.device
        )

    return squares, parts


def of_responses(matrix: Tensor, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Parts]:
    """By the ``mean`` M·μ (m,) and the ``covariance`` M·C·Mᵀ (m, m) of the responses."""
    values, vectors = _eigen(covariance)

    def parts(rank: int) -> tuple[Tensor, Tensor, Tensor]:
        top = vectors[:, :rank]
        return top.T @ matrix, top, mean - top @ (top.T @ mean)

    return values[: min(matrix.shape)], parts


def _answers(layer: Layer, seen: Seen) -> tuple[Tensor, Tensor]:
    mean = seen.answers.mean
    return mean if layer.bias is None else mean - layer.bias.detach().double(), seen.answers.covariance


def _spatial(kernel: Tensor, columns: Moments | None) -> Decomposition:
    outputs, inputs, height, width = kernel.shape
    matrix = kernel.permute(0, 3, 1, 2).reshape(outputs * width, inputs * height)
    if columns is None:
        spectrum, parts = of_weights(matrix)
    else:
        spectrum, parts = of_responses(matrix, matrix @ columns.mean, matrix @ columns.covariance @ matrix.T)

    def weights(ranks: tuple[int, ...]) -> Weights:
        first, second, offset = parts(ranks[0])
        return [first, second.reshape(outputs, width, -1).transpose(1, 2)], offset.reshape(outputs, width).sum(1)

    return Decomposition((spectrum,), weights)


def _tucker(layer: Layer, seen: Seen | None) -> Decomposition:
    """With M (m·k·k × c) the kernel, its channels last, and R = √C of the channels: the top left singular vectors of
    M·R are the way in, its filters k×k; the way out is that of ``channels``.
    """
    kernel = layer.weight.detach().double()
    outputs, by_channel = len(kernel), kernel.transpose(0, 1).flatten(1)  # Mᵀ
    if seen is None:
        weighted, inputs = by_channel, torch.zeros(len(by_channel), dtype=kernel.dtype, device=kernel.device)
        answers = torch.zeros_like(kernel[:, 0, 0, 0]), kernel.flatten(1) @ kernel.flatten(1).T
    else:
        weighted, inputs = _root(seen.channels.covariance) @ by_channel, seen.channels.mean
        answers = _answers(layer, seen)
    entering, directions = _eigen(weighted @ weighted.T)
    leaving, parts = of_responses(kernel.flatten(1), *answers)

    def weights(ranks: tuple[int, ...]) -> Weights:
        lengths = entering[: ranks[0]].clamp_min(float(entering[0]) * 1e-20 + 1e-300).sqrt()
        spanning = (directions[:, : ranks[0]].T @ weighted) / lengths[:, None]  # orthonormal rows (s, m·k·k)
        first, out = spanning @ by_channel.T, parts(ranks[1])[1]
        middle = torch.einsum("mr,smij->rsij", out, spanning.reshape(-1, outputs, *kernel.shape[2:]))
        left_out = kernel - torch.einsum("mr,rsij,sc->mcij", out, middle, first)
        return [first, middle, out], left_out.sum((2, 3)) @ inputs

    return Decomposition((entering, leaving), weights)


def _eigen(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, falling, none below zero, and their vectors as columns."""
    values, vectors = torch.linalg.eigh(symmetric)
    return values.flip(0).clamp_min(0), vectors.flip(1)


def _root(covariance: Tensor) -> Tensor:
    values, vectors = _eigen(covariance)
    return (vectors * values.sqrt()) @ vectors.T
