"""zoo's own conformance kit, which exports small networks and compares them with PyTorch, and what only this plugin can
know of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

pytest.importorskip("openvino", reason="openvino is not installed: pip install openvino")

from zoo_openvino.exporter import OpenVinoExporter
from zoo_openvino.options import OpenVinoOptions

from zoo.api import MAIN_INPUT, MAIN_OUTPUT, ExportJob
from zoo.errors import ExportError
from zoo.testing import check_plugin


class Net(nn.Module):
    """Takes (B, 1, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.twice = nn.Linear(36, 36)
        self.head = nn.Linear(36, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.trunk(images).amax(1).flatten(1))  # (B, 36)
        return self.head(torch.tanh(self.twice(torch.sigmoid(self.twice(hidden)))))


def written(folder: Path, batch: int | None = None, fp16: bool = False) -> tuple[OpenVinoExporter, Path, ExportJob]:
    folder.mkdir(exist_ok=True)
    exporter = OpenVinoExporter(OpenVinoOptions(compress_to_fp16=fp16))
    job = ExportJob(Net().eval(), torch.zeros(2, 1, 8, 8), batch=batch, metadata={"zoo": '{"ä": "<\\u0000>\\n"}'})
    exporter.write(job, folder / "model.xml")
    return exporter, folder / "model.xml", job


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin("openvino")


@pytest.mark.parametrize("batch", [None, 3])
def test_a_model_has_its_batch_its_metadata_and_two_files(tmp_path: Path, batch: int | None) -> None:
    exporter, path, job = written(tmp_path, batch)
    facts = exporter.check(path, job)
    assert facts.details["input_shape"] == [batch or "N", 1, 8, 8]
    assert facts.size_bytes == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert exporter.open(path, "cpu").metadata == job.metadata
    with pytest.raises(ExportError, match="shape"):
        exporter.check(path, ExportJob(job.model, job.example, batch=5, metadata=job.metadata))


def test_two_models_of_a_network_are_equal_byte_by_byte(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a")[1], written(tmp_path / "b")[1]
    for suffix in (".xml", ".bin"):
        assert first.with_suffix(suffix).read_bytes() == second.with_suffix(suffix).read_bytes()


def test_weights_in_float16_take_half_the_space_and_differ(tmp_path: Path) -> None:
    (exporter, path, _), (_, half, _) = written(tmp_path / "a"), written(tmp_path / "b", fp16=True)
    assert half.with_suffix(".bin").stat().st_size < 0.6 * path.with_suffix(".bin").stat().st_size
    inputs = torch.randn(2, 1, 8, 8)
    outputs = [exporter.open(each, "cpu")({MAIN_INPUT: inputs.numpy()})[MAIN_OUTPUT] for each in (path, half)]
    assert 1e-5 < abs(outputs[0] - outputs[1]).max() < 1e-2


def test_the_first_layer_that_differs_is_named(tmp_path: Path) -> None:
    exporter, path, job = written(tmp_path)
    model, inputs = job.model, torch.randn(3, 1, 8, 8)
    assert exporter.first_mismatch(path, model, inputs, 1e-4) is None
    with torch.no_grad():
        model.twice.weight[0, 0] += 1
    assert exporter.first_mismatch(path, model, inputs, 1e-4) == "twice (Linear)"


def test_a_model_is_described_without_openvino(tmp_path: Path) -> None:
    exporter, path, _ = written(tmp_path)
    found = exporter.inspect(path)
    assert found is not None
    assert (found.kind, found.refused) == ("OpenVINO model", [])
    path.with_suffix(".bin").unlink()
    assert exporter.inspect(path).refused == ["its weights are missing: model.bin"]
    path.write_text('<!DOCTYPE a [<!ENTITY b "b">]><net>&b;</net>', encoding="utf-8")
    assert exporter.inspect(path).refused == ["it is no XML that can be read: it declares entities"]
