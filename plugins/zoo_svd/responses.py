"""What layers answer to calibration pictures, and the pair of layers of each rank that follows from it.

Plain: the truncated SVD of W, the nearest matrix of a rank, whatever the layer sees. By responses: with C the covariance and μ the mean of a layer's
inputs, the responses W·x + b have the covariance W·C·Wᵀ; with U its top eigenvectors, U·Uᵀ·W is the matrix of that rank whose responses are nearest,
and b' = b + (I - U·Uᵀ)·W·μ keeps their mean (X. Zhang et al. 2015, section 3.1). Both are read off the responses themselves, over pictures and
places; no covariance is inverted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo_svd.layers import Layer, Pair, matrix_of

Spectrum = Tensor
"""float64 (min(m, n),): what each component holds of a layer's energy, falling."""


@dataclass(frozen=True)
class Decomposition:
    """A layer's components: ``spectrum`` is the energy of each, ``pair`` the two layers of a rank."""

    spectrum: Spectrum
    pair: Callable[[int], Pair]

    def lost(self, rank: int) -> float:
        """The share of the energy that a rank leaves out."""
        whole = float(self.spectrum.sum())
        return max(0.0, float(self.spectrum[rank:].sum()) / whole) if whole > 0 else 0.0


def plain(layer: Layer) -> Decomposition:
    """Of W alone, by the eigenvectors of W·Wᵀ (or Wᵀ·W, the smaller) in double precision; √σ is split between the two layers."""
    weight = matrix_of(layer)
    wide = weight.shape[0] <= weight.shape[1]
    flat = weight if wide else weight.T
    squares, vectors = torch.linalg.eigh(flat @ flat.T)
    squares, vectors = squares.flip(0).clamp_min(0), vectors.flip(1)
    root = squares.clamp_min(float(squares[0]) * 1e-20 + 1e-300).pow(0.25)
    bias = None if layer.bias is None else layer.bias.detach()

    def pair(rank: int) -> Pair:
        one = vectors[:, :rank] * root[:rank]
        other = (vectors[:, :rank].T @ flat) / root[:rank, None]
        return Pair(other, one, bias) if wide else Pair(one.T, other.T, bias)

    return Decomposition(squares, pair)


def by_responses(layer: Layer, mean: Tensor, covariance: Tensor) -> Decomposition:
    """Of the responses' ``mean`` (m,) and ``covariance`` (m, m), float64."""
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    weight, bias = matrix_of(layer), None if layer.bias is None else layer.bias.detach().double()
    centre = mean if bias is None else mean - bias  # W·μ

    def pair(rank: int) -> Pair:
        top = vectors[:, :rank]
        corrected = None if bias is None else bias + centre - top @ (top.T @ centre)
        return Pair(top.T @ weight, top, corrected)

    return Decomposition(values[: min(weight.shape)], pair)


def statistics(model: nn.Module, layers: Mapping[str, Layer], batches: Iterable[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """The mean (m,) and covariance (m, m) of each layer's responses, float64, over pictures and places. ``model`` is in eval mode."""
    sums: dict[str, list[Any]] = {}
    hooks = [layer.register_forward_hook(_adding(sums, name)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            for batch in batches:
                model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    found = {}
    for name, (count, total, squares) in sums.items():
        mean = total / count
        found[name] = (mean, squares / count - torch.outer(mean, mean))
    return found


def _adding(sums: dict[str, list[Any]], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        rows = output.detach().transpose(1, -1).reshape(-1, output.shape[1]) if output.ndim == 4 else output.detach().reshape(-1, output.shape[-1])
        rows = rows.double()
        so_far = sums.setdefault(name, [0, 0.0, 0.0])
        so_far[0] += len(rows)
        so_far[1] = so_far[1] + rows.sum(0)
        so_far[2] = so_far[2] + rows.T @ rows

    return hook
