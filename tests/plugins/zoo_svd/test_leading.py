"""Leading eigenvectors, against all of them by numpy, over spectra of every shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from zoo_svd import leading
from zoo_svd.leading import leading_eigenvectors

SIDE = 240
PLACES = np.arange(1, SIDE + 1.0)
SPECTRA = {
    "falling as a photograph's": PLACES**-2,
    "falling slowly": PLACES**-0.4,
    "all but flat": 0.998**PLACES,
    "flat": np.ones(SIDE),
    "falling fast": 0.95**PLACES,
    "a step": np.where(PLACES <= 20, 1.0, 1e-4),
    "few": np.where(PLACES <= 10, 1.0, 0.0),
    "one": np.where(PLACES <= 1, 1.0, 0.0),
}


def symmetric(eigenvalues: np.ndarray) -> np.ndarray:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(SIDE, SIDE)))[0]
    return (turn * eigenvalues) @ turn.T


class Sides:
    """torch.linalg.eigh, and the sides of the matrices that it was given."""

    def __init__(self, eigh):
        self.eigh, self.sides = eigh, []

    def __call__(self, matrix):
        self.sides.append(len(matrix))
        return self.eigh(matrix)


@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize("count", [1, 10, 24, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_they_miss_is_within_a_hundredth_of_a_decibel_of_the_least(kind, count, dtype, monkeypatch) -> None:
    monkeypatch.setattr(torch.linalg, "eigh", eigh := Sides(torch.linalg.eigh))
    matrix, eigenvalues = symmetric(SPECTRA[kind]), SPECTRA[kind]
    values, vectors = leading_eigenvectors(torch.from_numpy(matrix).to(dtype), count)
    assert eigh.sides and max(eigh.sides) < SIDE / 2  # only the matrix within the block
    basis = vectors.double().numpy().T
    np.testing.assert_allclose(basis.T @ basis, np.eye(count), atol=1e-5)
    missed, least = eigenvalues.sum() - np.trace(basis.T @ matrix @ basis), eigenvalues[count:].sum()
    rounding = 100 * torch.finfo(dtype).eps * eigenvalues.sum()  # the basis itself is rounded
    assert missed <= least * 10**0.001 + rounding
    np.testing.assert_allclose(values, np.diag(basis.T @ matrix @ basis), atol=1e-5)
    assert values.sort(descending=True).values.equal(values)


@pytest.mark.parametrize("count", [60, 100, SIDE])
def test_where_many_are_wanted_all_are_found(count) -> None:
    matrix = symmetric(SPECTRA["falling slowly"])
    values, vectors = leading_eigenvectors(torch.from_numpy(matrix), count)
    np.testing.assert_allclose(values, SPECTRA["falling slowly"][:count])
    np.testing.assert_allclose(vectors.numpy() @ matrix, values[:, None].numpy() * vectors.numpy(), atol=1e-10)


def test_the_random_state_is_left_alone_and_the_answer_is_the_same_each_time() -> None:
    matrix, before = torch.from_numpy(symmetric(SPECTRA["falling slowly"])), torch.get_rng_state()
    first, second = (leading_eigenvectors(matrix, 20)[1] for _ in range(2))
    assert torch.equal(first, second) and torch.equal(torch.get_rng_state(), before)


def test_rounds_end_where_the_last_wanted_one_has_grown_enough(monkeypatch) -> None:
    rounds = []
    monkeypatch.setattr(leading, "product", lambda left, right: rounds.append(1) or left @ right)
    for kind in ("falling fast", "falling slowly", "all but flat"):
        rounds.append(0)
        leading_eigenvectors(torch.from_numpy(symmetric(SPECTRA[kind])), 40)
    counts = [int(sum(part)) for part in np.split(rounds, np.flatnonzero(np.equal(rounds, 0)))[1:]]
    assert counts[0] == 2 < counts[1] < counts[2] == 2 * leading.ROUNDS  # the last of them within the block
