"""A file that is not the one that was to be written is refused, and weights outside of its folder are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx.external_data_helper import set_external_data
from zoo_onnx.exporter import OnnxExporter

from zoo.api import ExportJob
from zoo.errors import CheckpointError, ExportError
from zoo.exporting.opening import opened

MakeExporter = Callable[..., OnnxExporter]
MakeJob = Callable[..., ExportJob]
Write = Callable[..., Path]


def point_outside(proto: onnx.ModelProto, location: str) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    set_external_data_of(tensor, location)


def set_external_data_of(tensor: onnx.TensorProto, location: str) -> None:
    tensor.raw_data = b"\0"  # set_external_data asks for some
    set_external_data(tensor, location=location)
    tensor.ClearField("raw_data")


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "sub/../../weights.bin"])
def test_external_data_outside_of_the_folder_is_refused(
    exporter: MakeExporter, job: MakeJob, write: Write, tmp_path: Path, location: str
) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\0" * 4096)
    folder = tmp_path / "bundle"
    folder.mkdir()
    path = write(path=folder / "model.onnx")
    proto = onnx.load(path)
    point_outside(proto, location)
    path.write_bytes(proto.SerializeToString())
    for given in (job(), None):
        with pytest.raises(ExportError, match="lie outside the bundle"):
            exporter().check(path, given)


def set_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 19


def drop_metadata(proto: onnx.ModelProto) -> None:
    del proto.metadata_props[:]


def alter_metadata(proto: onnx.ModelProto) -> None:
    proto.metadata_props[0].value = "{ }"


def break_graph(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].input[0] = "nowhere"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (set_opset, "the file has opset 19, not 18 as requested"),
        (drop_metadata, "'zoo' is missing from"),
        (alter_metadata, "'zoo' is altered in"),
        (break_graph, "fails onnx's checker"),
    ],
)
def test_a_file_that_is_not_what_was_asked_for_is_refused(
    exporter: MakeExporter, job: MakeJob, write: Write, fault: Callable[[onnx.ModelProto], None], message: str
) -> None:
    path = write()
    proto = onnx.load(path)
    fault(proto)
    onnx.save(proto, path)
    with pytest.raises(ExportError, match=message):
        exporter().check(path, job())


def test_what_is_no_onnx_file_is_refused(exporter: MakeExporter, job: MakeJob, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff\xfe no model")
    for given in (job(), None):
        with pytest.raises(ExportError, match="not an ONNX file"):
            exporter().check(path, given)
    with pytest.raises(CheckpointError, match="cannot load"), opened(exporter(), path, "cpu"):
        pass
