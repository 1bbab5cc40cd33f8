"""Writing: the batch, weights in a second file, IR versions, and networks that cannot be written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from zoo_onnx.exporter import OnnxExporter

from zoo.api import ExportJob
from zoo.errors import ExportError

MakeExporter = Callable[..., OnnxExporter]
MakeJob = Callable[..., ExportJob]
Write = Callable[..., Path]


def branch(inputs: Tensor) -> Tensor:
    return inputs * 2 if inputs.sum() > 0 else inputs


def lists(inputs: Tensor) -> Tensor:
    return torch.from_numpy(inputs.numpy() * 2)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (torch.special.airy_ai, r"operator aten\.special_airy_ai has no ONNX equivalent \(odd \(Call\)\)"),
        (branch, r"data-dependent control flow, which a graph cannot represent \(odd \(Call\)\)"),
        (lists, r"cannot be traced: .*numpy.*\(odd \(Call\)\)"),
        (lambda x: x.view(2, 4, 6, 6), r"works only for a batch of 2; fix: export with --batch 2"),
    ],
    ids=[
        "an unsupported operator",
        "a data-dependent branch",
        "a detour through numpy",
        "a batch that is fixed in the code",
    ],
)
def test_what_cannot_be_exported_is_named_in_one_line_and_leaves_nothing(
    job: MakeJob,
    write: Write,
    net: Callable[..., nn.Module],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    odd: Callable[[Tensor], Tensor],
    message: str,
) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        write(job(net(odd)))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_batch_is_dynamic_by_its_name_or_fixed_as_asked(exporter: MakeExporter, job: MakeJob, write: Write) -> None:
    shapes = []
    for batch in (None, 5):
        path = write(job(batch=batch))
        exporter().check(path, job(batch=batch))
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        shapes.append([session.get_inputs()[0].shape, session.get_outputs()[0].shape])
        with pytest.raises(ExportError, match="batch"):
            exporter().check(path, job(batch=4))
    assert shapes == [[["batch", 1, 8, 8], ["batch", 10]], [[5, 1, 8, 8], [5, 10]]]


def test_weights_over_the_limit_lie_in_a_second_file(
    exporter: MakeExporter, job: MakeJob, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo_onnx.writing.IN_FILE_BYTES", 1000)
    given = job()
    path = write(given)
    facts = exporter().check(path, given)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.layers.json", "model.onnx", "model.onnx.data"]
    assert facts.size_bytes == sum(file.stat().st_size for file in tmp_path.glob("model.onnx*"))
    inputs = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        due = given.model(inputs).numpy()
    np.testing.assert_allclose(exporter().open(path, "cpu")({"input": inputs.numpy()})["output"], due, atol=1e-5)


# As https://github.com/onnx/onnx/blob/main/docs/Versioning.md pairs them.
@pytest.mark.parametrize(("opset", "ir_version"), [(15, 8), (18, 8), (19, 9), (20, 9), (21, 10), (25, 13)])
def test_the_ir_version_is_the_lowest_that_the_opset_allows(
    exporter: MakeExporter, job: MakeJob, write: Write, opset: int, ir_version: int
) -> None:
    path = write(opset=opset)
    assert exporter(opset=opset).check(path, job()).details["ir_version"] == ir_version
    proto = onnx.load(path)
    proto.ir_version = ir_version + 1
    onnx.save(proto, path)
    ours = f"IR version {ir_version + 1} where opset {opset} needs no more than {ir_version}"
    of_onnx = "is higher than the checker's"  # an older onnx does not know the next version
    with pytest.raises(ExportError, match=ours if ir_version < onnx.IR_VERSION else of_onnx):
        exporter(opset=opset).check(path, job())


def branches(inputs: Tensor) -> Tensor:
    found: Tensor = torch.cond(inputs.sum() > 0, lambda x: x * 2, lambda x: x - 1, (inputs,))
    return found


def notes_in(graph: onnx.GraphProto) -> int:
    """Entries of ``metadata_props`` below the model itself, which only IR version 10 has."""
    noted = (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
    inner = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return sum(len(each.metadata_props) for each in noted) + sum(map(notes_in, inner))


def test_what_needs_a_newer_ir_version_stands_beside_the_file(
    job: MakeJob, write: Write, net: Callable[..., nn.Module], tmp_path: Path
) -> None:
    path = write(job(net(branches)))
    proto = onnx.load(path)
    assert "If" in {node.op_type for node in proto.graph.node}
    assert notes_in(proto.graph) == 0
    assert sum(len(each.metadata_props) for function in proto.functions for each in (function, *function.node)) == 0
    layers = json.loads((tmp_path / "model.layers.json").read_text(encoding="utf-8"))
    assert layers.keys() == {node.output[0] for node in proto.graph.node}
    assert {"trunk.1", "square", "twice", "head"} <= set(layers.values())
