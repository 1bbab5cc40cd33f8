"""Eigenvalues, eigenvectors and singular values of 2×2 matrices, against numpy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from zoo_svd.linear_map import described, eigen, singular_values


@pytest.mark.parametrize(
    ("matrix", "text"),
    [
        ([5, 3, 3, 5], "eigenvalues 2 and 8 with eigenvectors (1, −1) and (1, 1)"),
        ([1, 2, 2, 4], "eigenvalues 0 and 5 with eigenvectors (1, −0.5) and (0.5, 1)"),
        ([1, 1, 1, 1], "eigenvalues 0 and 2 with eigenvectors (1, −1) and (1, 1)"),
        ([0.1, 0.3, 0.2, 0.6], "eigenvalues 0 and 0.7 with eigenvectors (1, −0.3333) and (0.5, 1)"),
        ([2, 0, 0, 3], "eigenvalues 2 and 3 with eigenvectors (1, 0) and (0, 1)"),
        ([3, 0, 0, 3], "eigenvalue 3, twice, with every vector an eigenvector"),
        ([0, 0, 0, 0], "eigenvalue 0, twice, with every vector an eigenvector"),
        ([1, 1, 0, 1], "eigenvalue 1, twice, with one eigenvector (1, 0)"),
        ([0, 1, 0, 0], "eigenvalue 0, twice, with one eigenvector (1, 0)"),
        ([0, -1, 1, 0], "eigenvalues 0 ± 1i, no real eigenvectors"),
        ([0, 1, 1, 0], "eigenvalues −1 and 1 with eigenvectors (1, −1) and (1, 1)"),
        ([-5, -3, -3, -5], "eigenvalues −8 and −2 with eigenvectors (1, 1) and (1, −1)"),
    ],
)
def test_small_matrices_are_described_as_by_hand(matrix: list[float], text: str) -> None:
    assert described(eigen(np.array(matrix, float).reshape(2, 2))) == text


@pytest.mark.parametrize("seed", range(40))
def test_eigenvectors_keep_their_direction_and_values_are_numpys(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    matrix = numbers.normal(size=(2, 2)) * 10.0 ** numbers.integers(-150, 150)
    found = eigen(matrix)
    np.testing.assert_allclose(np.sort_complex(found.values), np.sort_complex(np.linalg.eigvals(matrix)), rtol=1e-9)
    for value, vector in zip(found.values, found.vectors, strict=found.real):
        np.testing.assert_allclose(matrix @ vector, value.real * np.array(vector), atol=1e-9 * np.abs(matrix).max())
    np.testing.assert_allclose(singular_values(matrix), np.linalg.svd(matrix, compute_uv=False), rtol=1e-9)


def test_a_matrix_without_inverse_has_a_singular_value_of_exactly_0() -> None:
    assert singular_values(np.array([[1.0, 2.0], [2.0, 4.0]])) == (5.0, 0.0)
    assert singular_values(np.zeros((2, 2))) == (0.0, 0.0)
