"""The commands of `zoo svd`."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from zoo_svd import compressed
from zoo_svd.factors import factorise
from zoo_svd.images import as_image, as_matrix

from zoo.cli.app import run_cli


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    """An image uint8 (C, H, W) with a spectrum that falls as a photograph's does."""
    numbers = np.random.default_rng(height * width)
    rows, columns = np.linspace(0, 6, height)[:, None], np.linspace(0, 9, width)
    waves = [np.sin(rows * (1 + c) + columns) + np.cos(rows * columns * (0.4 + 0.2 * c)) for c in range(channels)]
    return np.clip(128 + 50 * np.stack(waves) + numbers.normal(0, 8, (channels, height, width)), 0, 255).astype(
        np.uint8
    )


@pytest.fixture
def small():
    return compressed.compress(factorise(as_matrix(smooth(60, 40)), 20), 20, 3)


def test_the_commands_decode_and_export_and_draw(small, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    compressed.write(tmp_path / "a.safetensors", small)
    assert run_cli(["svd", "decode", "a.safetensors", "--rank", "7"]) == 0
    with Image.open("a.png") as drawn:
        assert np.array_equal(np.asarray(drawn), as_image(small.at(7), 3))
    assert run_cli(["svd", "export", "a.safetensors", "--rank", "5"]) == 0
    assert run_cli(["svd", "ellipse", "5,3,3,5", "--out", "e.png"]) == 0
    told = capsys.readouterr().out
    assert "a.png: 60×40, rank 7 of 20" in told and "a.onnx: weights (N, 5) → images; verified against PyTorch" in told
    assert "e.png: singular values 8 and 2; eigenvalues 2 and 8 with eigenvectors (1, −1) and (1, 1)" in told
    assert (tmp_path / "a.onnx").is_file() and (tmp_path / "e.png").stat().st_size > 20_000


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["svd", "decode", "a.safetensors", "--rank", "21"], 2, "--rank: the file has 1 to 20, not 21"),
        (["svd", "decode", "b.safetensors"], 3, "cannot be read"),
        (["svd", "ellipse", "1,2,3"], 2, "expected the four numbers of a 2×2 matrix"),
        (["svd", "ellipse", "1,2,3,nan"], 2, "expected the four numbers of a 2×2 matrix"),
        (["svd", "export", "a.safetensors", "--format", "onxx"], 2, "did you mean onnx?"),
    ],
)
def test_what_cannot_be_done_is_one_line(small, tmp_path, monkeypatch, capsys, words, code, said) -> None:
    monkeypatch.chdir(tmp_path)
    compressed.write(tmp_path / "a.safetensors", small)
    assert run_cli(words) == code
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_a_rotation_has_no_real_eigenvectors_and_is_drawn_all_the_same(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_cli(["svd", "ellipse", "0,-1,1,0"]) == 0
    assert "singular values 1 and 1; eigenvalues 0 ± 1i, no real eigenvectors" in capsys.readouterr().out
