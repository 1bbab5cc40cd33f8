"""The eigenvectors of the largest eigenvalues of a symmetric positive matrix: all of them, or, where few are wanted, by
subspace iteration.

A block of vectors, wider than what is wanted, is multiplied by a polynomial of the matrix that grows on the wanted
eigenvalues and stays within ±1 on those below the block's smallest (Chebyshev's: H. Rutishauser, Simultaneous iteration
method for symmetric matrices, 1970; Y. Zhou, Y. Saad, M. Tiago, J. Chelikowsky: Self-consistent-field calculations
using Chebyshev-filtered subspace iteration, 2006), until the last wanted vector has grown enough over the unwanted
ones. It starts from a sketch of the matrix itself (N. Halko, P. Martinsson, J. Tropp: Finding structure with
randomness, 2011); the eigenvectors within the block are then those of a small matrix (Rayleigh–Ritz). Vectors are rows
here.
"""

from __future__ import annotations

import torch
from torch import Tensor

WIDER, AT_LEAST, MULTIPLE = 4 / 3, 40, 32
"""The block is this factor wider than the wanted number of columns, and at least this number of columns wider, rounded
up to a multiple that matrix products like."""
WORTHWHILE = 0.4
"""Of the matrix's side: a wider block takes as long as all eigenvectors do."""
ENOUGH, ROUNDS = 5.0, 6
"""The growth, in amplitude, of the last wanted vector over the unwanted ones; where it takes longer, the spectrum is so
flat that any will do."""
AROUND = 10
"""The number of rows on either side over which sizes are averaged."""


def leading_eigenvectors(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest eigenvalues (count), falling, and their eigenvectors (count, n) of a symmetric positive
    matrix (n, n)."""
    width = -(-max(int(WIDER * count), count + AT_LEAST) // MULTIPLE) * MULTIPLE
    if width > WORTHWHILE * len(matrix):
        values, columns = torch.linalg.eigh(matrix)
        vectors = columns.T
    else:
        basis = _dominant(matrix, count, width)
        values, rotation = torch.linalg.eigh(product(basis, matrix) @ basis.T)
        vectors = rotation[:, -count:].T @ basis
    return values[-count:].flip(0), vectors[-count:].flip(0)


def product(left: Tensor, right: Tensor) -> Tensor:
    """left·right, (m, k) by (k, n), as a convolution of width 1.

    torch has oneDNN's kernels for that; `@` is MKL's, which takes up to twice as long on an AMD processor.
    """
    found: Tensor = torch.nn.functional.conv1d(right[None], left[..., None])[0]
    return found


def _dominant(matrix: Tensor, count: int, width: int) -> Tensor:
    """An orthonormal basis (width, n) that all but holds the ``count`` leading eigenvectors.

    A round multiplies once or twice, then makes the block orthonormal again. Not more often: the rows come out of that
    ordered by what they weigh, so that for two multiplications single precision keeps the small ones apart from the
    large; out of the sketch, for one.
    """
    basis, sizes = _orthonormal(_sketch(matrix, width))
    limits = torch.finfo(matrix.dtype)
    # of the interval to damp: [0, 2·centre]
    centre = max(float(sizes[-2 * AROUND :].median()) / 2, float(sizes.max()) * limits.eps, limits.tiny)
    damping = matrix / centre  # from here on x − 1, whose eigenvalues in that interval lie within ±1
    damping.diagonal().sub_(1)
    growth = 1.0
    for earlier in range(ROUNDS):
        block = product(basis, damping)  # T₁(x) = x
        if earlier:
            block = 2 * product(block, damping) - basis  # T₂(x) = 2x·T₁(x) − 1
        basis, sizes = _orthonormal(block)
        wanted, unwanted = sizes[max(0, count - AROUND) : count + AROUND].median(), sizes[-2 * AROUND :].median()
        growth *= float(wanted) / max(1.0, float(unwanted))
        if growth >= ENOUGH:
            break
    return basis


def _orthonormal(block: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (width, n) that are orthonormal and span what the block's do, and how far each of the block's reaches beyond
    those before it (width)."""
    triangle: Tensor
    columns, triangle = torch.linalg.qr(block.T)
    return columns.T, triangle.diagonal().abs()


def _sketch(matrix: Tensor, width: int) -> Tensor:
    """Orthonormal random directions times the matrix, (width, n) by (n, n): its rows, ``width`` sums of some of them
    with random signs."""
    side = len(matrix)
    summands = -(-side // width)
    signs = 2 * torch.randint(0, 2, (summands, width, 1), generator=torch.Generator().manual_seed(0)).to(matrix) - 1
    padded = torch.nn.functional.pad(matrix, (0, 0, 0, summands * width - side)).view(summands, width, side)
    return (signs * padded).sum(0).div(summands**0.5)
