"""Singular values and the matrices of every rank, against numpy's own decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from zoo_svd import factors
from zoo_svd.factors import factorise, spectrum
from zoo_svd.images import as_image
from zoo_svd.quality import psnr

PHOTOGRAPHS = ("china.jpg", "flower.jpg")


def falling(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(0, 50, (rows, columns)) @ np.diag(0.95 ** np.arange(columns))


@pytest.mark.parametrize("shape", [(40, 120), (120, 40), (50, 50), (1, 9), (9, 1)])
@pytest.mark.parametrize("rank", [1, 3, 20, 1000])
def test_matrices_of_every_rank_are_the_nearest_ones(shape, rank) -> None:
    matrix = np.random.default_rng(0).normal(0, 50, shape) @ np.diag(0.9 ** np.arange(shape[1]))
    u, s, vt = np.linalg.svd(matrix)
    found = factorise(matrix, rank)
    kept = min(rank, *shape)
    assert found.rank == kept
    np.testing.assert_allclose(found.values, s[:kept], rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(found.at(kept), (u[:, :kept] * s[:kept]) @ vt[:kept], atol=0.05)
    assert found.kept(kept) == pytest.approx((s[:kept] ** 2).sum() / (s**2).sum(), rel=1e-5)
    left, right = found.orthonormal()
    np.testing.assert_allclose((left * found.values) @ right, found.at(kept), atol=0.05)
    np.testing.assert_allclose(left.T @ left, np.eye(kept), atol=1e-3)


def test_each_rank_comes_from_the_one_before() -> None:
    found, ranks = factorise(falling(60, 120), 30), (1, 7, 30)
    for rank, matrix in zip(ranks, found.each(ranks), strict=True):
        np.testing.assert_allclose(matrix, found.at(rank), atol=1e-2)


@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
@pytest.mark.parametrize("upright", [True, False])
def test_a_photograph_is_within_a_hundredth_of_a_decibel_of_numpys(photograph, upright) -> None:
    pixels = load_sample_image(photograph)[:400, :600]
    original = np.rot90(pixels) if upright else pixels
    matrix = original.reshape(len(original), -1).astype(np.float32)
    u, s, vt = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    for rank, mine in zip((60, 120), factorise(matrix, 120).each((60, 120)), strict=True):
        theirs = (u[:, :rank] * s[:rank]) @ vt[:rank]
        assert psnr(as_image(mine, 3), original) == pytest.approx(psnr(as_image(theirs, 3), original), abs=0.01)


def gradient() -> np.ndarray:
    """Without any noise: what is left beyond a few values lies far below the largest one."""
    rows, columns = np.linspace(0, 4, 300)[:, None], np.linspace(0, 6, 400)
    return np.rint(127 + 60 * np.sin(rows * columns) + 60 * np.cos(3 * columns - rows))


@pytest.mark.parametrize("rank", [1, 5, 20, 60, 150, 300])
def test_faint_singular_values_are_found_in_double_precision(rank) -> None:
    matrix = gradient()
    s = np.linalg.svd(matrix, compute_uv=False)
    lost = np.square(matrix - factorise(matrix, rank).at(rank)).sum()
    assert 10 * np.log10((lost + 1) / (np.square(s[rank:]).sum() + 1)) < 0.01


def test_a_matrix_of_nothing_stays_one() -> None:
    found = factorise(np.zeros((200, 300)), 20)
    assert not found.at(20).any() and found.kept(20) == 1


def test_huge_matrices_go_through_random_projections(monkeypatch) -> None:
    matrix = falling(90, 180)
    due = factorise(matrix, 12)
    monkeypatch.setattr(factors, "HUGE", 10)
    before = torch.get_rng_state()
    found = factorise(matrix, 12)
    np.testing.assert_allclose(found.values[:8], due.values[:8], rtol=5e-3)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_spectrum_is_numpys() -> None:
    matrix = falling(30, 60)
    np.testing.assert_allclose(spectrum(matrix), np.linalg.svd(matrix)[1])
