"""A 2×2 matrix as a map of the plane: its singular values, eigenvalues and eigenvectors in closed form.

It uses the characteristic polynomial, so that results for small integers are exact: zeros are 0, where a general solver
gives 1.986e-16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""Of the terms of a difference: a smaller one is what rounding left."""

Vector = tuple[float, float]


@dataclass(frozen=True)
class Eigen:
    """``values`` rise (two, or one that counts twice); ``vectors`` has one for each, both axes where every vector is
    one, or none that is real."""

    values: tuple[complex, ...]
    vectors: tuple[Vector, ...]

    @property
    def real(self) -> bool:
        return all(value.imag == 0 for value in self.values)


def eigen(matrix: np.ndarray) -> Eigen:
    """Eigenvalues and eigenvectors of a real matrix (2, 2)."""
    scale = float(np.abs(matrix).max())
    if scale == 0:
        return Eigen((0j,), ((1.0, 0.0), (0.0, 1.0)))
    a, b, c, d = (float(each) / scale for each in matrix.ravel())
    middle, half = (a + d) / 2, (a - d) / 2
    spread = _difference(half * half, -b * c)
    if spread < 0:
        root = math.sqrt(-spread)
        return Eigen((complex(middle, -root) * scale, complex(middle, root) * scale), ())
    far = middle + math.copysign(math.sqrt(spread), middle)
    near = _difference(a * d, b * c) / far if far else 0.0
    values = sorted({near, far} if spread else {middle})
    if len(values) == 1 and b == c == 0:
        vectors: tuple[Vector, ...] = ((1.0, 0.0), (0.0, 1.0))
    else:
        vectors = tuple(_scaled(_kernel(a - value, b, c, d - value)) for value in values)
    return Eigen(tuple(complex(value * scale) for value in values), vectors)


def singular_values(matrix: np.ndarray) -> tuple[float, float]:
    """Of a real matrix (2, 2), the larger first."""
    scale = float(np.abs(matrix).max())
    if scale == 0:
        return 0.0, 0.0
    a, b, c, d = (float(each) / scale for each in matrix.ravel())
    largest = (math.hypot(a + d, b - c) + math.hypot(a - d, b + c)) / 2
    return largest * scale, abs(_difference(a * d, b * c)) / largest * scale


def _difference(one: float, other: float) -> float:
    found = one - other
    return 0.0 if abs(found) <= ROUNDING * (abs(one) + abs(other)) else found


def _kernel(a: float, b: float, c: float, d: float) -> Vector:
    """A vector that [[a, b], [c, d]], which has no inverse, takes to 0: at right angles to its longer row."""
    return (b, -a) if math.hypot(a, b) >= math.hypot(c, d) else (d, -c)


def _scaled(vector: Vector) -> Vector:
    """Its larger entry 1, the first that is not 0 above 0."""
    x, y = vector
    largest = max(abs(x), abs(y))
    x, y = (0.0 if abs(each) <= ROUNDING * largest else each / largest for each in (x, y))
    return (x, y) if x > 0 or (x == 0 and y > 0) else (-x + 0.0, -y + 0.0)


def described(found: Eigen) -> str:
    """``eigenvalues 2 and 8 with eigenvectors (1, −1) and (1, 1)``"""
    if not found.real:
        value = found.values[1]
        return f"eigenvalues {_number(value.real)} ± {_number(value.imag)}i, no real eigenvectors"
    vectors = " and ".join(f"({_number(x)}, {_number(y)})" for x, y in found.vectors)
    if len(found.values) == 2:
        return (
            f"eigenvalues {_number(found.values[0].real)} and {_number(found.values[1].real)} with eigenvectors "
            f"{vectors}"
        )
    single = f"eigenvalue {_number(found.values[0].real)}, twice"
    return (
        f"{single}, with every vector an eigenvector"
        if len(found.vectors) == 2
        else f"{single}, with one eigenvector {vectors}"
    )


def _number(value: float) -> str:
    return f"{value + 0.0:.4g}".replace("-", "−")
