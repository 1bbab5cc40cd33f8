"""What `zoo inspect` says of an ONNX file, within limits and without onnx."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from zoo_onnx import inspecting

from zoo.inspection.inspect import inspect

BUNDLE = Path(__file__).parents[3] / "exports" / "published" / "cnn_mnist"


def test_an_onnx_file_is_read_without_onnx_as_onnx_reads_it() -> None:
    found, model = inspect(BUNDLE / "model.onnx"), onnx.load(BUNDLE / "model.onnx")
    assert found is not None and found.kind == "ONNX model"
    assert found.facts["IR version"] == model.ir_version and found.facts["opsets"] == {
        "ai.onnx": model.opset_import[0].version
    }
    assert sum(found.facts["operators"].values()) == len(model.graph.node) and found.facts["weights"] == len(
        model.graph.initializer
    )
    assert found.contains == [
        *((each.name, "input") for each in model.graph.input),
        *((each.name, "output") for each in model.graph.output),
    ]


def test_external_data_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../etc/passwd")
    graph = onnx.GraphProto(initializer=[tensor], node=[onnx.NodeProto(op_type="Evil", domain="lab.custom")])
    (tmp_path / "m.onnx").write_bytes(onnx.ModelProto(ir_version=8, graph=graph).SerializeToString())
    found = inspect(tmp_path / "m.onnx")
    assert found is not None and found.facts["external data"] == ["../../etc/passwd"]
    assert any("outside of its folder: ../../etc/passwd" in line for line in found.refused)
    assert any("lab.custom" in line for line in found.refused)


def test_fields_of_an_endless_message_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "MOST_FIELDS", 100)
    (tmp_path / "m.onnx").write_bytes(b"\x08\x07" * 1000)
    found = inspect(tmp_path / "m.onnx")
    assert found is not None and "more than 100 fields" in found.refused[0]
