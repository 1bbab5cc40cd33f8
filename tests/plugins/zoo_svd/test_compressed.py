"""Compressed images as files, and their decoder."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import save
from zoo_svd import compressed
from zoo_svd.decoder import Decoder, export
from zoo_svd.factors import factorise
from zoo_svd.images import as_image, as_matrix
from zoo_svd.quality import psnr

from zoo.errors import DataError


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


def test_eight_bits_lose_little_and_take_a_quarter(small, tmp_path) -> None:
    image = smooth(60, 40)
    exact = factorise(as_matrix(image), 20).at(20)
    original = image.transpose(1, 2, 0)
    assert small.bytes == 20 * (60 + 120) + 2 * 4 * 20
    assert psnr(as_image(small.at(), 3), original) > psnr(as_image(exact, 3), original) - 0.3
    file = tmp_path / "a.safetensors"
    compressed.write(file, small)
    back = compressed.read(file)
    assert np.array_equal(back.at(), small.at()) and back.channels == 3
    assert np.array_equal(back.first(5).at(), small.at(5))
    assert file.stat().st_size < small.bytes + 600


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read"),
        (b"nonsense, and more of it", "cannot be read"),
        (save({"left": np.zeros((2, 2), np.int8)}), "is not a compressed image"),
        (save({"left": np.zeros((2, 2), np.int8)}, {"format": "zoo-svd-picture", "channels": "3"}), "cannot be read"),
        (
            save(
                {
                    "left": np.zeros((4, 2), np.int8),
                    "right": np.zeros((3, 6), np.int8),
                    "left_step": np.ones(2, "f4"),
                    "right_step": np.ones(2, "f4"),
                },
                {"format": "zoo-svd-picture", "channels": "3"},
            ),
            "do not match",
        ),
    ],
)
def test_what_is_no_compressed_image_is_told(tmp_path, content, words) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with pytest.raises(DataError, match=words):
        compressed.read(file)


def test_the_decoder_gives_the_image_of_any_rank_and_its_file_does(small, tmp_path) -> None:
    model = Decoder(small).eval()
    weights = torch.zeros(2, 20)
    weights[0, :20], weights[1, :7] = 1, 1
    found = model(weights)
    assert found.shape == (2, 3, 60, 40)
    for row, rank in enumerate((20, 7)):
        assert np.array_equal(
            as_image(np.clip(small.at(rank), 0, 255), 3),
            np.rint(found[row].numpy()).astype(np.uint8).transpose(1, 2, 0),
        )
    facts = export(small, tmp_path / "a.onnx", "onnx")
    assert facts["max_abs_error"] < 0.01 and facts["provider"] == "cpu"
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    (again,) = session.run(None, {session.get_inputs()[0].name: weights.numpy()})
    np.testing.assert_allclose(again, found.numpy(), atol=0.01)


def test_all_files_of_a_format_are_moved(small, tmp_path, monkeypatch) -> None:
    """Here the weights are in a second file, which the first one names."""
    import onnx
    from zoo_onnx.exporter import OnnxExporter

    write = OnnxExporter.write

    def write_two(self, job, path) -> None:
        write(self, job, path)
        onnx.save(onnx.load(path), path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=1000)

    monkeypatch.setattr(OnnxExporter, "write", write_two)
    export(small, tmp_path / "a.onnx", "onnx")
    assert {"a.onnx", "a.onnx.data"} <= {file.name for file in tmp_path.iterdir()}
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    (image,) = session.run(None, {session.get_inputs()[0].name: np.ones((1, 20), np.float32)})
    np.testing.assert_allclose(image, Decoder(small).eval()(torch.ones(1, 20)).numpy(), atol=0.01)


def test_a_decoder_that_departs_is_not_left_behind(small, tmp_path, monkeypatch) -> None:
    from zoo_onnx.client import OnnxRunner
    from zoo_onnx.exporter import OnnxExporter

    from zoo.errors import ExportError

    class Wrong(OnnxRunner):
        def __call__(self, inputs):
            return {"output": np.zeros((len(inputs["input"]), 3, 60, 40), np.float32)}

    monkeypatch.setattr(OnnxExporter, "open", lambda _exporter, *given: Wrong(*given))
    with pytest.raises(ExportError, match="the exported model is not the PyTorch model"):
        export(small, tmp_path / "a.onnx", "onnx")
    assert not list(tmp_path.iterdir())
