"""The largest singular values of a matrix, and the matrix of any lower rank, from one factorisation.

Thin, by the eigenvectors of the Gram matrix: of A (m×n, m ≤ n) those of A·Aᵀ are the left singular vectors U, and Uᵀ·A
= Σ·Vᵀ. The matrix of rank k is then U_k·U_kᵀ·A, a projection of A itself, so that what is lost in squaring touches the
smallest singular values alone: where a wanted one is among these, the Gram matrix is made once more in double
precision. For a larger matrix, random projections are used (N. Halko, P. Martinsson, J. Tropp: Finding structure with
randomness, 2011; torch.svd_lowrank).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo_svd.leading import leading_eigenvectors, product

HUGE = 6000
"""Of the smaller side: from here on a Gram matrix and its eigenvectors cost more than random projections."""
OVERSAMPLING, POWER_STEPS = 20, 6
FAINT = 1e-5
"""Of the largest eigenvalue of the Gram matrix: a smaller one is too near to what single precision rounds away."""


@dataclass(frozen=True)
class Factors:
    """``left`` (m, k) and ``right`` (k, n), float32, of A ≈ left·right: U and Σ·Vᵀ where m ≤ n (``wide``), else U·Σ and
    Vᵀ.

    ``values`` are the k largest singular values, float64, falling; ``energy`` is the sum of the squares of all of them.
    """

    left: Tensor
    right: Tensor
    values: np.ndarray
    energy: float
    wide: bool

    @property
    def rank(self) -> int:
        return len(self.values)

    def at(self, rank: int) -> np.ndarray:
        """The nearest matrix of ``rank``, float32 (m, n) (Eckart and Young 1936)."""
        return np.asarray((self.left[:, :rank] @ self.right[:rank]).numpy())

    def each(self, ranks: Sequence[int]) -> Iterator[np.ndarray]:
        """`at` for ascending ranks, each from the one before."""
        last = torch.zeros(())
        for before, rank in zip([0, *ranks], ranks, strict=False):
            last = torch.addmm(last, self.left[:, before:rank], self.right[before:rank])
            yield last.numpy()

    def kept(self, rank: int) -> float:
        """The share of the energy that the largest ``rank`` singular values hold."""
        if rank >= min(len(self.left), self.right.shape[1]) or not self.energy:
            return 1.0
        return min(1.0, float(np.square(self.values[:rank]).sum() / self.energy))

    def orthonormal(self) -> tuple[np.ndarray, np.ndarray]:
        """U (m, k) and Vᵀ (k, n)."""
        scale = np.maximum(self.values, np.finfo(np.float32).tiny).astype(np.float32)
        left, right = self.left.numpy(), self.right.numpy()
        return (left, right / scale[:, None]) if self.wide else (left / scale, right)


def factorise(matrix: np.ndarray, rank: int) -> Factors:
    """The ``rank`` largest singular values of a real matrix (m, n), or all where it has fewer, and their vectors."""
    wide = matrix.shape[0] <= matrix.shape[1]
    flat = torch.from_numpy(np.ascontiguousarray(matrix if wide else matrix.T, np.float32))
    rank = min(rank, len(flat))
    basis = _projected(flat, rank) if len(flat) > HUGE else _eigenvectors(flat, rank)
    other = product(basis, flat)
    values, energy = (
        torch.linalg.vector_norm(other, dim=1, dtype=torch.float64),
        torch.linalg.vector_norm(flat, dim=1).double().square().sum(),
    )
    left, right = (basis.T.contiguous(), other) if wide else (other.T.contiguous(), basis)
    return Factors(left, right, values.numpy(), float(energy), wide)


def _eigenvectors(flat: Tensor, rank: int) -> Tensor:
    """The eigenvectors of A·Aᵀ of the largest eigenvalues, falling, float32 (rank, m)."""
    for dtype in (torch.float32, torch.float64) if 2 * rank <= len(flat) else (torch.float64,):
        rows = flat.to(dtype)
        values, vectors = leading_eigenvectors(product(rows, rows.T), rank)
        if values[-1] > FAINT * values[0]:
            break
    return vectors.float().contiguous()


def _projected(flat: Tensor, rank: int) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        left, _, _ = torch.svd_lowrank(flat, q=min(rank + OVERSAMPLING, len(flat)), niter=POWER_STEPS)
    basis: Tensor = left[:, :rank].T.contiguous()
    return basis


def share(part: float) -> str:
    """Format a share of the energy; only exactly 1 is shown as 100%."""
    shown = f"{part:.2%}"
    return shown if shown != "100.00%" else "100%" if part == 1 else "more than 99.99%"


def spectrum(matrix: np.ndarray) -> np.ndarray:
    """All singular values, float64, falling."""
    return np.asarray(np.linalg.svd(matrix.astype(np.float64), compute_uv=False))
